#ifndef CONDENSE_CLIENT_CLI_CONTEXT_H_
#define CONDENSE_CLIENT_CLI_CONTEXT_H_

#include <ostream>
#include <string>

#include "client/cpp/client.h"

namespace condense::cli {

// Where a command writes and whom it asks.
struct Context {
  // Must outlive the context.
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  // The descriptor behind `out`, for its terminal; -1: none.
  int out_fd = -1;
  // On stdout only JSON objects, one per line.
  bool json = false;
  client::Client::Options client;

  // Prints an error and says how to exit.
  int Fail(const absl::Status& status) const;
};

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_CONTEXT_H_
