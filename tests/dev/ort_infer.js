// Runs an ONNX model in ONNX Runtime on .npy files, as `condense-engine infer`
// does: input_0.npy ... to output_0.npy ..., float32, C order.
//
// node ort_infer.js MODEL INPUT_DIR OUTPUT_DIR [BATCH]
//
// ONNX Runtime is found in .dev-tools/onnxruntime (scripts/dev-tools).
'use strict';
const fs = require('fs');
const path = require('path');
const root = path.resolve(__dirname, '..', '..');
const ort = require(path.join(root, '.dev-tools', 'onnxruntime', 'node_modules', 'onnxruntime-node'));

function readNpy(file) {
  const bytes = fs.readFileSync(file);
  const wide = bytes[6] >= 2;
  const length = wide ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8);
  const start = (wide ? 12 : 10) + length;
  const header = bytes.toString('latin1', wide ? 12 : 10, start);
  if (!header.includes("'<f4'")) throw new Error(`${file}: only float32 is read`);
  const dims = /\(([^)]*)\)/.exec(header)[1].split(',').map(s => s.trim()).filter(Boolean).map(Number);
  const copy = new Uint8Array(bytes.subarray(start)).buffer;
  return { dims, data: new Float32Array(copy) };
}

function writeNpy(file, dims, data) {
  let header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims.join(', ')}${dims.length === 1 ? ',' : ''}), }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + '\n';
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY', 'latin1');
  head[6] = 1;
  head.writeUInt16LE(header.length, 8);
  fs.writeFileSync(file, Buffer.concat([head, Buffer.from(header, 'latin1'),
    Buffer.from(data.buffer, data.byteOffset, data.byteLength)]));
}

async function main() {
  const [model, inputDir, outputDir, batchText] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const inputs = session.inputNames.map((_, i) => readNpy(path.join(inputDir, `input_${i}.npy`)));
  const total = inputs[0].dims[0];
  const batch = batchText ? Number(batchText) : total;
  const outputs = session.outputNames.map(() => ({ dims: null, parts: [] }));
  for (let start = 0; start < total; start += batch) {
    const count = Math.min(batch, total - start);
    const feeds = {};
    session.inputNames.forEach((name, i) => {
      const { dims, data } = inputs[i];
      const size = data.length / dims[0];
      feeds[name] = new ort.Tensor('float32', data.slice(start * size, (start + count) * size), [count, ...dims.slice(1)]);
    });
    const results = await session.run(feeds);
    session.outputNames.forEach((name, i) => {
      outputs[i].dims = results[name].dims;
      outputs[i].parts.push(Float32Array.from(results[name].data, Number));
    });
  }
  fs.mkdirSync(outputDir, { recursive: true });
  outputs.forEach(({ dims, parts }, i) => {
    const length = parts.reduce((n, p) => n + p.length, 0);
    const data = new Float32Array(length);
    let at = 0;
    for (const part of parts) { data.set(part, at); at += part.length; }
    writeNpy(path.join(outputDir, `output_${i}.npy`), [total, ...dims.slice(1)], data);
  });
}

main().catch(error => { console.error(String(error.message || error)); process.exit(1); });
