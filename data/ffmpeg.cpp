#include "data/ffmpeg.h"

#include "data/dataset.h"

#include <array>
#include <cstdarg>

#include <dlfcn.h>

namespace cltrain {
namespace {

class Library {
 public:
  Library(const std::string& name, int version)
      : file_("lib" + name + ".so." + std::to_string(version)),
        // Never unloaded: codecs leave per-thread memory whose destructors lie in the libraries.
        handle_(dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {
    if (!handle_) fail(dlerror());
  }

  template <class Function>
  void find(const char* name, Function& function) const {
    function = reinterpret_cast<Function>(dlsym(handle_, name));
    if (!function) fail(std::string("it has no function ") + name);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw DataError("videos are decoded by FFmpeg's libraries, and " + file_ +
                    " cannot be loaded: " + why +
                    "; install the FFmpeg that cltrain was built with (Debian, Ubuntu: "
                    "apt-get install libavformat" +
                    std::to_string(LIBAVFORMAT_VERSION_MAJOR) + " libswscale" +
                    std::to_string(LIBSWSCALE_VERSION_MAJOR) + ")");
  }

  std::string file_;
  void* handle_;
};

void say_nothing(void*, int, const char*, va_list) {}

}  // namespace

std::string Ffmpeg::error_text(int code) const {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  return text.data();
}

std::shared_ptr<const Ffmpeg> load_ffmpeg() {
  auto functions = std::make_shared<Ffmpeg>();
  const Library avutil("avutil", LIBAVUTIL_VERSION_MAJOR);
  const Library avcodec("avcodec", LIBAVCODEC_VERSION_MAJOR);
  const Library avformat("avformat", LIBAVFORMAT_VERSION_MAJOR);
  const Library swscale("swscale", LIBSWSCALE_VERSION_MAJOR);
#define CLTRAIN_OF_AVUTIL(name) avutil.find(#name, functions->name);
#define CLTRAIN_OF_AVCODEC(name) avcodec.find(#name, functions->name);
#define CLTRAIN_OF_AVFORMAT(name) avformat.find(#name, functions->name);
#define CLTRAIN_OF_SWSCALE(name) swscale.find(#name, functions->name);
  CLTRAIN_AVUTIL_FUNCTIONS(CLTRAIN_OF_AVUTIL)
  CLTRAIN_AVCODEC_FUNCTIONS(CLTRAIN_OF_AVCODEC)
  CLTRAIN_AVFORMAT_FUNCTIONS(CLTRAIN_OF_AVFORMAT)
  CLTRAIN_SWSCALE_FUNCTIONS(CLTRAIN_OF_SWSCALE)
  functions->av_log_set_callback(say_nothing);
  return functions;
}

}  // namespace cltrain
