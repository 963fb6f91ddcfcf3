#include <unistd.h>

#include <csignal>
#include <iostream>

#include "client/cli/app.h"

int main(int argc, char** argv) {
  // A reader that goes away early ends us by the failed write.
  std::signal(SIGPIPE, SIG_DFL);
  return condense::cli::RunCondense({argv + 1, argv + argc}, std::cout,
                                    std::cerr, STDOUT_FILENO);
}
