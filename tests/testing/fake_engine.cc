// Speaks the engine's side of engine.proto for tests of the agent. What it does
// is given in place of a device:
//
//   fake_engine serve --device echo|die|mute|stubborn [--threads N]
//
// echo: Ready, then a log line with the job folder of Start, then Done.
// die: Ready, then ends by SIGKILL as soon as it is started.
// mute: never says Ready. stubborn: Ready, then ignores SIGTERM and commands.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "common/framing.h"
#include "condense/v1/engine.pb.h"

int main(int argc, char** argv) {
  const std::string mode = argc > 3 ? argv[3] : "";
  if (mode == "mute") {
    for (;;) pause();
  }
  if (mode == "stubborn") signal(SIGTERM, SIG_IGN);
  condense::v1::EngineEvent event;
  event.mutable_ready()->set_device(mode);
  if (!condense::WriteMessage(3, event).ok()) return 1;
  condense::MessageReader reader(4);
  condense::v1::EngineCommand command;
  const auto got = reader.Read(&command);
  if (!got.ok() || !*got) return 0;
  std::fprintf(stderr, "started in %s\n", command.start().job_dir().c_str());
  if (mode == "die") raise(SIGKILL);
  if (mode == "stubborn") {
    for (;;) pause();
  }
  event.mutable_event()->set_type("log");
  event.mutable_event()->mutable_log()->set_message(command.start().job_dir());
  if (!condense::WriteMessage(3, event).ok()) return 1;
  event.mutable_done()->set_outcome(condense::v1::Done::SUCCEEDED);
  return condense::WriteMessage(3, event).ok() ? 0 : 1;
}
