#include "workers/engine/data/image.h"

#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>

// After <jpeglib.h>, which it needs.
#include <jerror.h>

#include "absl/strings/match.h"
#include "workers/engine/data/data_error.h"
#include "workers/engine/data/pnm.h"

namespace condense::data {
namespace {

constexpr unsigned kSideMax = 16384;

absl::Status Corrupt(absl::string_view why) {
  return DataError("CORRUPT_IMAGE", "not a readable image", why);
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

// After these warnings of libjpeg the pixels are whole: bytes between two
// markers, an unknown colour transform in Adobe's marker, parameters of a scan
// that do not matter in a sequential file. After any other (a premature end, a
// bad Huffman code, lost restart markers) it makes pixels up.
bool IsHarmless(int code) {
  return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM ||
         code == JWRN_NOT_SEQUENTIAL;
}

void OnJpegMessage(j_common_ptr info, int level) {
  if (level < 0 && !IsHarmless(info->err->msg_code)) OnJpegError(info);
}

// A decoder that keeps its tables from one image to the next.
class JpegDecoder {
 public:
  JpegDecoder() {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = OnJpegError;
    errors_.base.emit_message = OnJpegMessage;
    jpeg_create_decompress(&info_);
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  absl::StatusOr<Sample> Decode(const std::string& bytes) {
    Sample sample;
    errors_.message[0] = '\0';
    if (DecodeInto(bytes, &sample)) return sample;
    jpeg_abort_decompress(&info_);
    return Corrupt(errors_.message);
  }

 private:
  // No object with a destructor lives across the longjmp.
  bool DecodeInto(const std::string& bytes, Sample* sample) {
    if (setjmp(errors_.jump)) return false;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()),
                 bytes.size());
    jpeg_read_header(&info_, TRUE);
    if (info_.image_width > kSideMax || info_.image_height > kSideMax) {
      std::snprintf(errors_.message, sizeof(errors_.message), "too large");
      return false;
    }
    info_.out_color_space =
        info_.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&info_);
    sample->height = static_cast<int>(info_.output_height);
    sample->width = static_cast<int>(info_.output_width);
    sample->channels = info_.output_components;
    const size_t stride = size_t{info_.output_width} * info_.output_components;
    sample->pixels.resize(stride * info_.output_height);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW rows[kRows];
      for (unsigned i = 0; i < kRows; ++i) {
        const unsigned row =
            std::min(info_.output_scanline + i, info_.output_height - 1);
        rows[i] = sample->pixels.data() + stride * row;
      }
      jpeg_read_scanlines(&info_, rows, kRows);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  // Rows asked for at once; libjpeg gives as many as it has ready.
  static constexpr unsigned kRows = 8;
  jpeg_decompress_struct info_ = {};
  JpegErrors errors_;
};

absl::StatusOr<Sample> DecodeJpeg(const std::string& bytes) {
  thread_local JpegDecoder decoder;
  return decoder.Decode(bytes);
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
  if (IsPnm(bytes)) return DecodePnm(bytes);
  return Corrupt("neither JPEG, PNG, PGM nor PPM");
}

}  // namespace condense::data
