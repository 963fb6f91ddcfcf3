#ifndef CONDENSE_CLIENT_CLI_APP_H_
#define CONDENSE_CLIENT_CLI_APP_H_

#include <ostream>
#include <string>
#include <vector>

namespace condense::cli {

// The whole of `condense`: reads the command line (without the program's name)
// and the environment, runs one command and returns the exit code. `out_fd` is
// the descriptor behind `out` if it is one, else -1.
int RunCondense(const std::vector<std::string>& arguments, std::ostream& out,
                std::ostream& err, int out_fd);

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_APP_H_
