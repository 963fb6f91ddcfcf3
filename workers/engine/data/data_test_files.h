#ifndef CONDENSE_WORKERS_ENGINE_DATA_DATA_TEST_FILES_H_
#define CONDENSE_WORKERS_ENGINE_DATA_DATA_TEST_FILES_H_

#include <archive.h>
#include <archive_entry.h>
#include <png.h>
#include <zlib.h>

#include <cstdio>
// After <cstdio>, which it needs.
#include <jpeglib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

// Files in the formats that the readers take, written by the libraries that
// everybody else writes them with.
namespace condense::data {

inline void WriteBytes(const std::string& path, const std::string& bytes) {
  std::filesystem::create_directories(
      std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

// 8-bit pixels, 1 or 3 channels.
inline std::string PngBytes(int height, int width, int channels,
                            const std::vector<uint8_t>& pixels) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0,
                            nullptr);
  bytes.resize(size);
  return bytes;
}

inline std::string JpegBytes(int height, int width, int channels,
                             std::vector<uint8_t> pixels) {
  jpeg_compress_struct info = {};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;  // NOLINT: libjpeg's type
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = channels;
  info.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row =
        pixels.data() + size_t{info.next_scanline} * width * channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string bytes(reinterpret_cast<char*>(memory), size);
  std::free(memory);
  return bytes;
}

// One gray value everywhere: exact in JPEG too.
inline std::string FlatPng(int side, uint8_t value) {
  return PngBytes(side, side, 1, std::vector<uint8_t>(side * side, value));
}
inline std::string FlatJpeg(int side, uint8_t value) {
  return JpegBytes(side, side, 1, std::vector<uint8_t>(side * side, value));
}

inline std::string BigEndianBytes(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

// `pixels`: one image after the other.
inline std::string IdxImages(uint32_t count, uint32_t height, uint32_t width,
                             const std::string& pixels) {
  return BigEndianBytes(0x803) + BigEndianBytes(count) +
         BigEndianBytes(height) + BigEndianBytes(width) + pixels;
}
inline std::string IdxLabels(const std::string& labels) {
  return BigEndianBytes(0x801) +
         BigEndianBytes(static_cast<uint32_t>(labels.size())) + labels;
}

inline std::string GzipBytes(const std::string& bytes) {
  z_stream stream = {};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8,
               Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// By its ending: .zip, .tar or .tar.gz.
inline void WriteArchive(const std::string& path,
                         const std::map<std::string, std::string>& files) {
  archive* writer = archive_write_new();
  if (path.ends_with(".zip")) {
    archive_write_set_format_zip(writer);
    archive_write_set_options(writer, "hdrcharset=UTF-8");
  } else {
    archive_write_set_format_pax_restricted(writer);
  }
  if (path.ends_with(".gz")) archive_write_add_filter_gzip(writer);
  archive_write_open_filename(writer, path.c_str());
  for (const auto& [name, bytes] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname_utf8(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<int64_t>(bytes.size()));
    archive_write_header(writer, entry);
    archive_write_data(writer, bytes.data(), bytes.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
}

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_DATA_TEST_FILES_H_
