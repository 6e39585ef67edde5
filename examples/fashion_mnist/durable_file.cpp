#include "durable_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace fashion_mnist {
namespace {

/// An open file or folder.
class descriptor {
 public:
  descriptor(const std::filesystem::path& path, int flags)
      : path_(path), number_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (number_ < 0) fail("opened");
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }

  void write(const std::uint8_t* bytes, std::size_t count) {
    while (count > 0) {
      const ssize_t written = ::write(number_, bytes, count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("written");
      bytes += written;
      count -= static_cast<std::size_t>(written);
    }
  }
  void flush() {
    if (::fsync(number_) != 0) fail("flushed");
  }
  void close() {
    if (::close(std::exchange(number_, -1)) != 0) fail("closed");
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw std::system_error(errno, std::generic_category(), path_.string() + ": cannot be " + what);
  }

  std::filesystem::path path_;
  int number_;
};

}  // namespace

void write_durably(const std::filesystem::path& file, const std::vector<std::uint8_t>& bytes) {
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  std::filesystem::create_directories(folder);
  const std::filesystem::path unfinished = file.string() + ".unfinished";
  descriptor stream(unfinished, O_WRONLY | O_CREAT | O_TRUNC);
  stream.write(bytes.data(), bytes.size());
  stream.flush();
  stream.close();
  std::filesystem::rename(unfinished, file);
  descriptor(folder, O_RDONLY | O_DIRECTORY).flush();
}

}  // namespace fashion_mnist
