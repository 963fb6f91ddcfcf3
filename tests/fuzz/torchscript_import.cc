#include <archive.h>
#include <archive_entry.h>
#include <torch/script.h>

#include <map>
#include <sstream>

#include "absl/strings/match.h"
#include "tests/fuzz/targets.h"
#include "tests/testing/zip.h"
#include "workers/engine/import/torchscript/importer.h"

namespace condense::fuzz {
namespace {

constexpr char kSource[] = "m/code/__torch__.py";

// The members of an archive that LibTorch wrote.
std::map<std::string, std::string> Unzip(const std::string& bytes) {
  std::map<std::string, std::string> members;
  archive* reader = archive_read_new();
  archive_read_support_format_zip_seekable(reader);
  archive_read_open_memory(reader, bytes.data(), bytes.size());
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    std::string content(static_cast<size_t>(archive_entry_size(entry)), '\0');
    archive_read_data(reader, content.data(), content.size());
    members[archive_entry_pathname(entry)] = content;
  }
  archive_read_free(reader);
  return members;
}

std::string SeedOf(const std::string& forward) {
  torch::jit::Module module("Model");
  torch::manual_seed(5);
  module.register_parameter("w", torch::randn({4, 4}), false);
  module.register_buffer("b", torch::randn({4}));
  module.define("def forward(self, x):\n" + forward);
  std::ostringstream stream;
  module.save(stream);
  std::string pickle, source;
  for (const auto& [name, content] : Unzip(stream.str())) {
    if (absl::EndsWith(name, "/data.pkl")) pickle = content;
    if (absl::EndsWith(name, "/__torch__.py")) source = content;
  }
  std::string seed;
  seed += static_cast<char>(pickle.size() & 255);
  seed += static_cast<char>(pickle.size() >> 8);
  return seed + pickle + source;
}

}  // namespace

void TorchScriptImport(absl::string_view bytes) {
  if (bytes.size() < 2) return;
  const size_t length = static_cast<uint8_t>(bytes[0]) |
                        static_cast<size_t>(static_cast<uint8_t>(bytes[1]))
                            << 8;
  const absl::string_view rest = bytes.substr(2);
  const size_t split = std::min(length, rest.size());
  const std::string archive =
      testing::ZipOf({{"m/data.pkl", std::string(rest.substr(0, split))},
                      {kSource, std::string(rest.substr(split))},
                      {"m/constants.pkl", "\x80\x02)."},
                      {"m/version", "3\n"},
                      {"m/data/0", std::string(64, '\1')},
                      {"m/data/1", std::string(64, '\2')}},
                     /*stored=*/true);
  const auto graph = torchscript_import::ImportTorchScript(archive);
  CheckTyped(graph.status());
}

std::vector<std::string> TorchScriptSeeds() {
  return {SeedOf("  return torch.matmul(x, self.w) + self.b\n"),
          SeedOf("  y = x\n  for i in range(x.size(1)):\n    if i % 2 == 0:\n"
                 "      y = y + float(i)\n  return y.view([x.size(0), -1])\n"),
          SeedOf("  parts = [x, x.relu()]\n  z = torch.cat(parts, 1)\n"
                 "  a, b = torch.chunk(z, 2, 1)\n  return a[:, 1:3] * b[0]\n")};
}

}  // namespace condense::fuzz
