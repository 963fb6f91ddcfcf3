#ifndef CONDENSE_CLIENT_CLI_RENDER_H_
#define CONDENSE_CLIENT_CLI_RENDER_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/job_view.h"
#include "condense/v1/event.pb.h"

namespace condense::cli {

// What the terminal can show.
struct RenderOptions {
  // Columns; no line is wider.
  int width = 80;
  // Lines at most; the oldest phases are left out first.
  int height = 24;
  // Check marks and blocks instead of ASCII.
  bool unicode = true;
  bool color = true;
  // For what is still going on.
  absl::Time now;
};

// The picture of a running job: a line of state, one line per phase with a mark
// and the time it took, and for the current one a bar with step, loss, quality
// and the time left. Pure.
std::vector<std::string> RenderLive(const JobView& view,
                                    const RenderOptions& options);

// What to print of one event where nothing can be redrawn; `before` is the view
// without it. None for progress and for metrics with a step (they are summed up
// when their phase ends). Pure.
std::vector<std::string> PlainLines(const JobView& before,
                                    const v1::JobEvent& event);

// A bar of `width` columns for a fraction in [0, 1].
std::string Bar(double fraction, int width, bool unicode);

// `text` without what does not fit into `width` columns; escapes take none, and
// a colour that was on is put off at the end.
std::string Truncate(const std::string& text, int width);

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_RENDER_H_
