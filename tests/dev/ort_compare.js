// Runs every FOLDER/*/model.onnx in ONNX Runtime on its input_0.npy ... and
// compares with its output_0.npy ...: one JSON line per model with the greatest
// difference, of the greatest number of its outputs. Exits with the number of
// models that fail or differ by more than TOLERANCE.
//
// node ort_compare.js FOLDER TOLERANCE [LEVEL of graph optimization]
'use strict';
const fs = require('fs');
const path = require('path');
const root = path.resolve(__dirname, '..', '..');
const ort = require(path.join(root, '.dev-tools', 'onnxruntime', 'node_modules', 'onnxruntime-node'));

const types = {
  '<f4': ['float32', Float32Array], '<f8': ['float64', Float64Array], '<f2': ['float16', Uint16Array],
  '<i8': ['int64', BigInt64Array], '<i4': ['int32', Int32Array], '|i1': ['int8', Int8Array],
  '|u1': ['uint8', Uint8Array], '|b1': ['bool', Uint8Array],
};

function readNpy(file) {
  const bytes = fs.readFileSync(file);
  const length = bytes.readUInt16LE(8);
  const header = bytes.toString('latin1', 10, 10 + length);
  const [name, Data] = types[/'descr': '([^']*)'/.exec(header)[1]];
  const dims = /\(([^)]*)\)/.exec(header)[1].split(',').map(s => s.trim()).filter(Boolean).map(Number);
  return { name, dims, data: new Data(new Uint8Array(bytes.subarray(10 + length)).buffer) };
}

// The greatest difference and the greatest number of one output.
function compare(theirs, ours) {
  if (theirs.dims.join() !== ours.dims.join()) throw new Error(`shape ${theirs.dims} not ${ours.dims}`);
  const a = Array.from(theirs.data, Number), b = Array.from(ours.data, Number);
  let off = 0, top = 0;
  a.forEach((v, i) => {
    if (Number.isFinite(b[i])) top = Math.max(top, Math.abs(b[i]));
    if (Object.is(v, b[i]) || v === b[i]) return;
    off = Math.max(off, Number.isNaN(v - b[i]) ? Infinity : Math.abs(v - b[i]));
  });
  return { off, top };
}

async function run(folder, level) {
  const session = await ort.InferenceSession.create(path.join(folder, 'model.onnx'),
    { intraOpNumThreads: 1, logSeverityLevel: 3, graphOptimizationLevel: level });
  const feeds = {};
  session.inputNames.forEach((name, i) => {
    const x = readNpy(path.join(folder, `input_${i}.npy`));
    feeds[name] = new ort.Tensor(x.name, x.data, x.dims);
  });
  const results = await session.run(feeds);
  const all = session.outputNames.map((name, i) =>
    compare(results[name], readNpy(path.join(folder, `output_${i}.npy`))));
  // Outputs of a model belong together: probabilities of 1e-5 beside coordinates
  // are as exact as a sigmoid near 0 is.
  return Math.max(...all.map(o => o.off)) / Math.max(1e-6, ...all.map(o => o.top));
}

async function main() {
  const [folder, tolerance, level = 'all'] = process.argv.slice(2);
  let failed = 0, worst = 0, count = 0;
  for (const name of fs.readdirSync(folder).sort()) {
    if (!fs.existsSync(path.join(folder, name, 'model.onnx'))) continue;
    ++count;
    try {
      let off = await run(path.join(folder, name), level);
      const row = { model: name, relative_difference: off };
      if (!(off <= Number(tolerance))) {
        // What its optimizer does wrong (a Pad merged into an AveragePool that
        // does not count padding) is not the file's.
        row.with_optimizer = off;
        row.relative_difference = off = await run(path.join(folder, name), 'disabled');
      }
      worst = Math.max(worst, off);
      console.log(JSON.stringify(row));
      if (!(off <= Number(tolerance))) ++failed;
    } catch (error) {
      ++failed;
      console.log(JSON.stringify({ model: name, error: String(error.message || error) }));
    }
  }
  console.log(JSON.stringify({ models: count, failed, worst }));
  process.exit(Math.min(failed, 100));
}

main().catch(error => { console.error(String(error.stack || error)); process.exit(101); });
