#include "workers/engine/data/image.h"

#include <jpeglib.h>
#include <png.h>

#include <csetjmp>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::data {
namespace {

constexpr unsigned kSideMax = 16384;

absl::Status Corrupt(absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CORRUPT_IMAGE",
                   absl::StrCat("not a readable image: ", why));
}

struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = {};
};

void OnJpegError(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

// A truncated file is only a warning to libjpeg; to us it is an error.
void OnJpegMessage(j_common_ptr info, int level) {
  if (level < 0) OnJpegError(info);
}

// No object with a destructor lives across the longjmp.
bool DecodeJpegInto(const std::string& bytes, jpeg_decompress_struct* info,
                    JpegErrors* errors, Sample* sample) {
  if (setjmp(errors->jump)) return false;
  jpeg_create_decompress(info);
  jpeg_mem_src(info, reinterpret_cast<const unsigned char*>(bytes.data()),
               bytes.size());
  jpeg_read_header(info, TRUE);
  if (info->image_width > kSideMax || info->image_height > kSideMax) {
    std::snprintf(errors->message, sizeof(errors->message), "too large");
    return false;
  }
  info->out_color_space =
      info->jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(info);
  sample->height = static_cast<int>(info->output_height);
  sample->width = static_cast<int>(info->output_width);
  sample->channels = info->output_components;
  const size_t stride = size_t{info->output_width} * info->output_components;
  sample->pixels.resize(stride * info->output_height);
  while (info->output_scanline < info->output_height) {
    JSAMPROW row = sample->pixels.data() + stride * info->output_scanline;
    jpeg_read_scanlines(info, &row, 1);
  }
  jpeg_finish_decompress(info);
  return true;
}

absl::StatusOr<Sample> DecodeJpeg(const std::string& bytes) {
  jpeg_decompress_struct info = {};
  JpegErrors errors;
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = OnJpegError;
  errors.base.emit_message = OnJpegMessage;
  Sample sample;
  const bool decoded = DecodeJpegInto(bytes, &info, &errors, &sample);
  jpeg_destroy_decompress(&info);
  if (!decoded) return Corrupt(errors.message);
  return sample;
}

absl::StatusOr<Sample> DecodePng(const std::string& bytes) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) {
    return Corrupt(image.message);
  }
  if (image.width > kSideMax || image.height > kSideMax) {
    png_image_free(&image);
    return Corrupt("too large");
  }
  const bool color = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  // Else libpng takes 16 bits for linear light and applies a gamma.
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  image.format = color ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Sample sample;
  sample.height = static_cast<int>(image.height);
  sample.width = static_cast<int>(image.width);
  sample.channels = color ? 3 : 1;
  sample.pixels.resize(PNG_IMAGE_SIZE(image));
  const png_color black = {0, 0, 0};
  if (!png_image_finish_read(&image, &black, sample.pixels.data(), 0,
                             nullptr)) {
    return Corrupt(image.message);
  }
  return sample;
}

}  // namespace

absl::StatusOr<Sample> DecodeImage(const std::string& bytes) {
  if (absl::StartsWith(bytes, "\xff\xd8")) return DecodeJpeg(bytes);
  if (absl::StartsWith(bytes, "\x89PNG")) return DecodePng(bytes);
  return Corrupt("neither JPEG nor PNG");
}

}  // namespace condense::data
