#include "workers/engine/data/dataset.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "workers/engine/data/cifar.h"
#include "workers/engine/data/data_error.h"
#include "workers/engine/data/file_tree.h"
#include "workers/engine/data/idx.h"
#include "workers/engine/data/image_files.h"
#include "workers/engine/data/manifest.h"
#include "workers/engine/data/npz.h"

namespace condense::data {
namespace {

using Files = std::vector<std::string>;
using Opened = absl::StatusOr<std::unique_ptr<Dataset>>;

bool IsImage(const std::string& path) {
  const std::string lower = absl::AsciiStrToLower(path);
  for (const char* ending : {".jpg", ".jpeg", ".png", ".pgm", ".ppm"}) {
    if (absl::EndsWith(lower, ending)) return true;
  }
  return false;
}

std::string BaseOf(const std::string& file) {
  return file.substr(file.rfind('/') + 1);
}

// By the beginning of a name.
std::optional<Part> PartOf(const std::string& name) {
  const std::string lower = absl::AsciiStrToLower(name);
  for (const char* begin : {"train", "data_batch"}) {
    if (absl::StartsWith(lower, begin)) return Part::kTrain;
  }
  for (const char* begin : {"test", "t10k", "val", "eval"}) {
    if (absl::StartsWith(lower, begin)) return Part::kTest;
  }
  return std::nullopt;
}

// What tells the part of a packed file: its own name, or that of its folder.
std::string PartName(const std::string& file) {
  const std::string base = BaseOf(file);
  if (PartOf(base).has_value() || base.size() == file.size()) return base;
  return BaseOf(file.substr(0, file.size() - base.size() - 1));
}

// The files of the part, where each file belongs to one and both are there; all
// files else.
Files Choose(const Files& files, Part part,
             const std::function<std::string(const std::string&)>& name_of) {
  Files chosen;
  for (const std::string& file : files) {
    const std::optional<Part> own = PartOf(name_of(file));
    if (!own.has_value()) return files;
    if (*own == part) chosen.push_back(file);
  }
  return chosen.empty() ? files : chosen;
}

// What a folder holds, by the names of its files.
struct Survey {
  // Images and labels; one of each is a data set.
  Files idx, cifar, tables, archives;
  // Folders that hold x.npy and y.npy, with a slash at the end or empty.
  Files arrays;
  std::map<std::string, Files> classes;
  // Images that lie in no folder of a class.
  Files flat;
};

// How many leading characters all images share as whole folders that are not
// their class: an archive of one folder is opened as that folder, whatever
// notes lie beside it.
size_t Wrapping(const Files& images) {
  std::set<std::string> tops;
  for (const std::string& file : images) {
    if (std::count(file.begin(), file.end(), '/') < 2) return 0;
    tops.insert(file.substr(0, file.find('/')));
  }
  return tops.size() == 1 ? tops.begin()->size() + 1 : 0;
}

void AddClasses(Files images, Part part, Survey* survey) {
  size_t skip = Wrapping(images);
  const auto folder = [&skip](const std::string& file) {
    return file.substr(skip, file.find('/', skip) - skip);
  };
  const auto deep = [&skip](const std::string& file) {
    return std::count(file.begin() + static_cast<int64_t>(skip), file.end(),
                      '/') >= 2;
  };
  // Two parts side by side, each with its class folders.
  if (std::all_of(images.begin(), images.end(), deep)) {
    const size_t all = images.size();
    images = Choose(images, part, folder);
    if (images.size() < all) skip += folder(images[0]).size() + 1;
  }
  for (const std::string& file : images) {
    if (file.find('/', skip) != std::string::npos) {
      survey->classes[folder(file)].push_back(file);
    } else {
      survey->flat.push_back(file);
    }
  }
}

Survey Look(const FileTree& tree, Part part) {
  Survey survey;
  Files images;
  for (const auto& [file, size] : tree.files()) {
    const std::string base = BaseOf(file);
    if (IsImage(base)) {
      images.push_back(file);
    } else if (absl::EndsWithIgnoreCase(base, ".csv")) {
      survey.tables.push_back(file);
    } else if (absl::EndsWithIgnoreCase(base, ".npz")) {
      survey.archives.push_back(file);
    } else if (base == "x.npy") {
      const std::string folder = file.substr(0, file.size() - base.size());
      if (tree.files().count(folder + "y.npy") > 0) {
        survey.arrays.push_back(folder);
      }
    } else if (absl::StrContains(base, "images") ||
               absl::StrContains(base, "labels")) {
      survey.idx.push_back(file);
    } else if (absl::EndsWith(base, ".bin")) {
      survey.cifar.push_back(file);
    }
  }
  AddClasses(std::move(images), part, &survey);
  for (Files* files :
       {&survey.idx, &survey.cifar, &survey.tables, &survey.archives}) {
    *files = Choose(*files, part, PartName);
  }
  return survey;
}

absl::Status Ambiguous(const FileTree& tree, const Files& files) {
  return DataError(
      "UNKNOWN_DATA_FORMAT", tree.name(),
      absl::StrCat("it holds several data sets: ", absl::StrJoin(files, ", ")),
      "name the file itself, or keep one (or train* and test*)");
}

absl::StatusOr<CsvTable> ReadTable(const FileTree& tree,
                                   const std::string& file) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string text, tree.Read(file));
  return ParseCsv(absl::StrCat(tree.name(), "/", file), text);
}

Opened OpenTable(std::shared_ptr<const FileTree> tree,
                 const std::string& file) {
  CONDENSE_ASSIGN_OR_RETURN(const CsvTable table, ReadTable(*tree, file));
  return OpenManifest(std::move(tree), file, table);
}

// Of those .csv files that are manifests; the others are notes.
absl::StatusOr<Files> Manifests(const FileTree& tree, const Files& tables) {
  Files found;
  for (const std::string& file : tables) {
    const absl::StatusOr<CsvTable> table = ReadTable(tree, file);
    if (table.ok() && IsManifest(*table)) found.push_back(file);
  }
  return found.size() > 1 ? Ambiguous(tree, found)
                          : absl::StatusOr<Files>(found);
}

Opened OpenClasses(std::shared_ptr<const FileTree> tree,
                   const std::map<std::string, Files>& classes) {
  ImageFiles::Index index;
  for (const auto& [name, files] : classes) {
    for (const std::string& file : files) {
      index.files.push_back(file);
      index.labels.push_back(static_cast<int64_t>(index.class_names.size()));
    }
    index.class_names.push_back(name);
  }
  return std::make_unique<ImageFiles>(std::move(tree), std::move(index));
}

// One folder of images: they have no labels.
Opened OpenFlat(std::shared_ptr<const FileTree> tree, const Files& files) {
  ImageFiles::Index index;
  index.files = files;
  index.labels.assign(files.size(), kNoLabel);
  return std::make_unique<ImageFiles>(std::move(tree), std::move(index));
}

Opened OpenTree(std::shared_ptr<const FileTree> tree, Part part) {
  if (tree->files().empty()) {
    return DataError("EMPTY_FOLDER", tree->name(), "it has no files");
  }
  const Survey survey = Look(*tree, part);
  CONDENSE_ASSIGN_OR_RETURN(const Files manifests,
                            Manifests(*tree, survey.tables));
  if (!manifests.empty()) return OpenTable(tree, manifests[0]);
  if (survey.arrays.size() == 1) return OpenNpz(*tree, survey.arrays[0]);
  if (survey.archives.size() > 1) return Ambiguous(*tree, survey.archives);
  if (survey.archives.size() == 1) {
    const std::string& file = survey.archives[0];
    CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, tree->Read(file));
    CONDENSE_ASSIGN_OR_RETURN(
        auto inside,
        FileTree::OpenBytes(absl::StrCat(tree->name(), "/", file), bytes));
    if (inside->files().count("x.npy") + inside->files().count("y.npy") < 2) {
      return DataError("CORRUPT_DATA", inside->name(),
                       "it does not hold the arrays x and y",
                       "numpy.savez(path, x=images, y=labels)");
    }
    return OpenNpz(*inside, "");
  }
  if (!survey.classes.empty()) return OpenClasses(tree, survey.classes);
  if (survey.idx.size() == 2 &&
      absl::StrContains(BaseOf(survey.idx[0]), "images") &&
      absl::StrContains(BaseOf(survey.idx[1]), "labels")) {
    return OpenIdx(*tree, survey.idx[0], survey.idx[1]);
  }
  if (!survey.cifar.empty()) return OpenCifar(*tree, survey.cifar);
  // Whatever is wrong with the only table is the most that can be said.
  if (survey.tables.size() == 1) return OpenTable(tree, survey.tables[0]);
  if (!survey.flat.empty()) return OpenFlat(tree, survey.flat);
  return DataError("UNKNOWN_DATA_FORMAT", tree->name(),
                   "it holds no data that condense reads",
                   "class folders of .jpg or .png, a .csv with path,label or "
                   "a,b,same, an .npz with x and y, one *images* and one "
                   "*labels* IDX file, or CIFAR *.bin");
}

}  // namespace

void Dataset::AlignClasses(const std::vector<std::string>& names) {
  if (class_names_.empty()) return;
  for (const std::string& name : class_names_) {
    aligned_.push_back(std::find(names.begin(), names.end(), name) -
                       names.begin());
  }
  class_names_ = names;
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const std::string& path,
                                                     Part part) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (absl::EndsWithIgnoreCase(path, ".csv") &&
      fs::is_regular_file(path, error)) {
    const fs::path file(path);
    const std::string folder = file.parent_path().string();
    CONDENSE_ASSIGN_OR_RETURN(auto tree,
                              FileTree::Open(folder.empty() ? "." : folder));
    return OpenTable(tree, file.filename().string());
  }
  CONDENSE_ASSIGN_OR_RETURN(auto tree, FileTree::Open(path));
  if (absl::EndsWithIgnoreCase(path, ".npz") &&
      tree->files().count("x.npy") + tree->files().count("y.npy") < 2) {
    return DataError("CORRUPT_DATA", path,
                     "it does not hold the arrays x and y",
                     "numpy.savez(path, x=images, y=labels)");
  }
  return OpenTree(tree, part);
}

}  // namespace condense::data
