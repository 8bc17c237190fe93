/* Which torch the bundle runs with. */
#define _GNU_SOURCE
#include "starter.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- torch -------------------------------------------------------------------------------------
 */

/* The version in torch/version.py up to a local tag ("2.11.0" of '2.11.0+cu130'), or NULL. */
static char* torch_version(const char* site) {
  char* path = format("%s/torch/version.py", site);
  FILE* file = fopen(path, "r");
  free(path);
  if (!file) return NULL;
  char line[256], *version = NULL;
  while (!version && fgets(line, sizeof(line), file)) {
    if (strncmp(line, "__version__", 11) != 0) continue;
    const char* begin = line + strcspn(line, "'\"");
    if (!*begin++) continue;
    version = strndup(begin, strspn(begin, "0123456789.abcdefghijklmnopqrstuvwxyz"));
  }
  fclose(file);
  return version;
}

/* NULL where `site` holds the torch that this bundle was linked with, else what is wrong. */
static char* fault_of(const char* site) {
  char* library = format("%s/torch/lib/libtorch_cpu.so", site);
  const int has_cpu = is_file(library);
  free(library);
  if (!has_cpu) return format("there is no torch/lib/libtorch_cpu.so in it");
  char* version = torch_version(site);
  if (!version) return format("its torch/version.py does not tell a version");
  const int same = strcmp(version, CLTRAIN_TORCH_VERSION) == 0;
  if (!same) return format("it is torch %s", version);
  free(version);
  library = format("%s/torch/lib/libtorch_cuda.so", site);
  const int has_cuda = is_file(library);
  free(library);
  if (CLTRAIN_BUNDLE_CUDA && !has_cuda)
    return format("it has no torch/lib/libtorch_cuda.so, and this bundle was built with CUDA");
  return NULL;
}

/* Both site-packages and its torch/ may be named. */
static char* site_of(const char* path) {
  char real[PATH_MAX];
  if (!realpath(path, real)) return strdup(path);
  char* library = format("%s/lib/libtorch_cpu.so", real);
  char* slash = strrchr(real, '/');
  if (is_file(library) && slash && strcmp(slash, "/torch") == 0) *slash = '\0';
  free(library);
  return strdup(real);
}

char* find_torch(const char* asked, const char* asked_by, const char* root) {
  const char* todo = CLTRAIN_BUNDLE_CUDA
                         ? "python3 -m pip install --target FOLDER torch==" CLTRAIN_TORCH_VERSION
                           " (the whole wheel with its CUDA libraries), then --torch FOLDER"
                         : "python3 -m pip install --target FOLDER torch==" CLTRAIN_TORCH_VERSION
                           ", then --torch FOLDER";
  if (asked) {
    char* site = site_of(asked);
    char* fault = fault_of(site);
    if (fault)
      refuse(kConfigError,
             format("%s=%s is not the torch that this bundle needs: %s; needed is %s%s.\n  to do: "
                    "%s",
                    asked_by, asked, fault, "torch " CLTRAIN_TORCH_VERSION,
                    CLTRAIN_BUNDLE_CUDA ? " with CUDA" : "", todo));
    return site;
  }
  const char* home = getenv("HOME");
  char* places[] = {
      format("%s/torch-" CLTRAIN_TORCH_VERSION, root),
      format("%s/.cache/cltrain/torch-" CLTRAIN_TORCH_VERSION "-full", home ? home : "/root"),
      format("%s/.cache/cltrain/torch-" CLTRAIN_TORCH_VERSION "-lean", home ? home : "/root"),
  };
  char* looked = format("%s", "");
  for (size_t i = 0; i < sizeof(places) / sizeof(*places); ++i) {
    char* fault = fault_of(places[i]);
    if (!fault) return places[i];
    looked = format("%s\n  looked in %s: %s", looked, places[i], fault);
  }
  refuse(kConfigError,
         format("no torch given: this bundle needs torch %s%s, as a folder that "
                "holds torch/ and nvidia/ of the wheel, by --torch PATH or "
                "CLTRAIN_TORCH=PATH%s\n  to do: %s",
                CLTRAIN_TORCH_VERSION, CLTRAIN_BUNDLE_CUDA ? " with CUDA" : "", looked, todo));
  return NULL;
}
