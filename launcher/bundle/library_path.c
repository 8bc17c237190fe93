/* Where the loader finds the libraries of the bundle and of torch. */
#define _GNU_SOURCE
#include "starter.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the C++ runtime ---------------------------------------------------------------------------
 */

/* The greatest N of the strings GLIBCXX_3.4.N in a 64-bit x86 library; -1 where it is none. */
static int runtime_version(const char* path) {
  static const char kTag[] = "GLIBCXX_3.4.";
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat facts;
  if (file < 0 || fstat(file, &facts) != 0 || facts.st_size < (off_t)sizeof(Elf64_Ehdr)) {
    if (file >= 0) close(file);
    return -1;
  }
  const size_t bytes = (size_t)facts.st_size;
  const char* text = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (text == MAP_FAILED) return -1;
  int newest = -1;
  const Elf64_Ehdr* header = (const Elf64_Ehdr*)text;
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
      header->e_machine == EM_X86_64) {
    const char *at = text, *end = text + bytes;
    while ((at = memmem(at, (size_t)(end - at), kTag, sizeof(kTag) - 1))) {
      at += sizeof(kTag) - 1;
      int number = 0;
      for (; at < end && isdigit((unsigned char)*at) && number < 10000; ++at)
        number = 10 * number + (*at - '0');
      if (number > newest) newest = number;
    }
  }
  munmap((void*)text, bytes);
  return newest;
}

/* Of the libstdc++ that the loader would take without the bundle; -1 where there is none. */
static int machine_runtime_version(const char* search) {
  static const char* const kFolders =
      "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib";
  char* all = format("%s:%s", search, kFolders);
  int version = -1;
  char* rest = NULL;
  for (char* folder = strtok_r(all, ":", &rest); folder && version < 0;
       folder = strtok_r(NULL, ":", &rest)) {
    char* path = format("%s/libstdc++.so.6", folder);
    version = runtime_version(path);
    free(path);
  }
  free(all);
  return version;
}

/* --- LD_LIBRARY_PATH ---------------------------------------------------------------------------
 */

/* Appends `folder` to a list that does not hold it yet. */
static char* append_folder(char* list, const char* folder) {
  char* framed = format(":%s:", list);
  char* wanted = format(":%s:", folder);
  const int there = strstr(framed, wanted) != NULL;
  free(framed);
  free(wanted);
  if (there || !*folder) return list;
  char* longer = *list ? format("%s:%s", list, folder) : strdup(folder);
  free(list);
  return longer;
}

static char* append_nvidia(char* list, const char* site) {
  char* above = format("%s/nvidia", site);
  struct dirent** entries = NULL;
  const int count = scandir(above, &entries, NULL, alphasort); /* in order: the same everywhere */
  for (int i = 0; i < count; ++i) {
    char* folder = format("%s/%s/lib", above, entries[i]->d_name);
    if (entries[i]->d_name[0] != '.' && is_folder(folder)) list = append_folder(list, folder);
    free(folder);
    free(entries[i]);
  }
  free(entries);
  free(above);
  return list;
}

void set_library_path(const char* root, const char* site) {
  const char* before = getenv("LD_LIBRARY_PATH");
  char* lib = format("%s/lib", root);
  char* runtime = format("%s/lib/runtime", root);
  char* library = format("%s/libstdc++.so.6", runtime);
  char* list = append_folder(strdup(""), lib);
  if (runtime_version(library) > machine_runtime_version(before ? before : ""))
    list = append_folder(list, runtime);
  if (site) {
    char* torch = format("%s/torch/lib", site);
    list = append_nvidia(append_folder(list, torch), site);
    free(torch);
  }
  char *old = strdup(before ? before : ""), *rest = NULL;
  for (char* folder = strtok_r(old, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest))
    list = append_folder(list, folder);
  setenv("LD_LIBRARY_PATH", list, 1);
}
