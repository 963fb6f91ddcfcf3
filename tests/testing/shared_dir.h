#ifndef CONDENSE_TESTS_TESTING_SHARED_DIR_H_
#define CONDENSE_TESTS_TESTING_SHARED_DIR_H_

#include <cstdlib>
#include <filesystem>
#include <string>

namespace condense::testing {

// The folder of real data and models that some tests read: CONDENSE_SHARED, or
// ../shared beside the sources. Empty if it is not there: skip then, and say so.
inline std::string SharedDir() {
  const char* given = std::getenv("CONDENSE_SHARED");
  const char* source = std::getenv("CONDENSE_SOURCE_DIR");
  const std::string path =
      given != nullptr ? given
                       : std::string(source != nullptr ? source : ".") +
                             "/../shared";
  return std::filesystem::exists(path + "/MANIFEST.tsv") ? path : "";
}

}  // namespace condense::testing

#endif  // CONDENSE_TESTS_TESTING_SHARED_DIR_H_
