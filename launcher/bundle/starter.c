/* The `cltrain`, `mpirun` and `orted` that a bundle shows: finds the libraries, then becomes the
 * real program of the same name in libexec/.
 *
 * Linked statically and written in C, because the loader looks for libtorch before main() of the
 * real program, and because a bare root has neither shell nor libstdc++. It
 *   - takes `--torch PATH` out of the command line (or reads CLTRAIN_TORCH, or looks in the places
 *     of find_torch.c), and checks that a torch wheel of the right version and kind is there;
 *   - prepends the bundle's lib/, torch/lib and nvidia/.../lib to LD_LIBRARY_PATH; the C++ runtime
 *     of the bundle only where the machine's own is older or missing;
 *   - tells Open MPI and PMIx where they live now.
 *
 * Errors: one message, by the rank announced as 0, and exit code 2 (a mistake in the command line);
 * 1 where the real program cannot be started. The other ranks wait 3 s to be ended, since a rank
 * that leaves at once makes mpirun kill rank 0 before its message is out.
 *
 * Compiled with CLTRAIN_TORCH_VERSION ("2.11.0") and CLTRAIN_BUNDLE_CUDA (1 where the program is
 * linked with libtorch_cuda). */
#define _GNU_SOURCE
#include "starter.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kGraceSeconds = 3 };

/* --- texts and messages ------------------------------------------------------------------------
 */

char* format(const char* pattern, ...) {
  va_list values;
  char* text = NULL;
  va_start(values, pattern);
  const int length = vasprintf(&text, pattern, values);
  va_end(values);
  if (length < 0) abort(); /* no memory for a path */
  return text;
}

void refuse(int code, const char* text) {
  static const char* const kRankNames[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"};
  for (size_t i = 0; i < sizeof(kRankNames) / sizeof(*kRankNames); ++i) {
    const char* rank = getenv(kRankNames[i]);
    if (!rank) continue;
    if (atoi(rank) != 0) {
      sleep(kGraceSeconds);
      _exit(code);
    }
    break;
  }
  fprintf(stderr, "cltrain: %s\n", text);
  fflush(stderr);
  _exit(code);
}

int is_file(const char* path) {
  struct stat facts;
  return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

int is_folder(const char* path) {
  struct stat facts;
  return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* --- the bundle --------------------------------------------------------------------------------
 */

/* The folder that holds libexec/cltrain: that of this file, or the one above (bin/orted). */
static char* bundle_root(void) {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length >= 0) {
    path[length] = '\0';
  } else { /* no /proc: the name that the kernel was given */
    const char* given = (const char*)getauxval(AT_EXECFN);
    if (!given || !realpath(given, path)) path[0] = '\0';
  }
  for (int level = 0; level < 2; ++level) {
    char* slash = strrchr(path, '/');
    if (!slash) break;
    *slash = '\0';
    char* program = format("%s/libexec/cltrain", path);
    const int found = is_file(program);
    free(program);
    if (found) return strdup(path);
  }
  refuse(kFailure,
         "this bundle is not whole: libexec/cltrain is neither beside nor above this "
         "program; copy the whole folder");
  return NULL;
}

/* --- the command line ------------------------------------------------------------------------ */

/* Takes `--torch PATH` and `--torch=PATH` out of the words; the last one counts. */
static const char* take_torch_option(int* count, char** words) {
  const char* path = NULL;
  int kept = 1;
  for (int i = 1; i < *count; ++i) {
    if (strcmp(words[i], "--torch") == 0) {
      if (i + 1 == *count)
        refuse(kConfigError, "--torch needs a folder: the one that holds torch/ of the wheel");
      path = words[++i];
    } else if (strncmp(words[i], "--torch=", 8) == 0) {
      path = words[i] + 8;
    } else {
      words[kept++] = words[i];
    }
  }
  words[kept] = NULL;
  *count = kept;
  return path;
}

/* --- Open MPI ----------------------------------------------------------------------------------
 */

static void set_folder(const char* name, const char* root, const char* below) {
  char* path = format("%s%s", root, below);
  setenv(name, path, 1);
  free(path);
}

/* Distributions compile absolute folders in, so that OPAL_PREFIX alone moves only a part. */
static void set_mpi_folders(const char* root) {
  set_folder("OPAL_PREFIX", root, "");
  set_folder("OPAL_EXEC_PREFIX", root, "");
  set_folder("OPAL_BINDIR", root, "/bin");
  set_folder("OPAL_LIBDIR", root, "/lib");
  set_folder("OPAL_PKGLIBDIR", root, "/lib/openmpi");
  set_folder("OPAL_DATADIR", root, "/share");
  set_folder("OPAL_PKGDATADIR", root, "/share/openmpi");
  set_folder("OPAL_SYSCONFDIR", root, "/etc/openmpi");
  set_folder("PMIX_PREFIX", root, "");
  set_folder("PMIX_EXEC_PREFIX", root, "");
  set_folder("PMIX_LIBDIR", root, "/lib");
  set_folder("PMIX_PKGLIBDIR", root, "/lib/pmix");
  set_folder("PMIX_DATADIR", root, "/share");
  set_folder("PMIX_PKGDATADIR", root, "/share/pmix");
  set_folder("PMIX_SYSCONFDIR", root, "/etc/pmix");
}

static int on_path(const char* program) {
  const char* path = getenv("PATH");
  char *all = strdup(path ? path : ""), *rest = NULL;
  int found = 0;
  for (char* folder = strtok_r(all, ":", &rest); folder && !found;
       folder = strtok_r(NULL, ":", &rest)) {
    char* file = format("%s/%s", folder, program);
    found = access(file, X_OK) == 0;
    free(file);
  }
  free(all);
  return found;
}

/* Open MPI's launcher over ssh ends everything where there is no ssh, though one node needs none;
 * it is asked for by mpirun, and by the daemon that a program on its own starts. */
static void do_without_ssh(void) {
  if (on_path("ssh") || on_path("rsh")) return;
  if (getenv("OMPI_MCA_plm") || getenv("OMPI_MCA_plm_rsh_agent")) return;
  setenv("OMPI_MCA_plm", "^rsh", 1);
}

int main(int count, char** words) {
  char* root = bundle_root();
  const char* slash = strrchr(words[0], '/');
  const char* name = slash ? slash + 1 : words[0];
  char* program = NULL;
  char* site = NULL;
  if (strcmp(name, "mpirun") == 0 || strcmp(name, "mpiexec") == 0 || strcmp(name, "orterun") == 0) {
    program = format("%s/libexec/orterun", root);
    words[0] = format("%s/bin/mpirun", root); /* a whole path: mpirun takes its prefix from it */
  } else if (strcmp(name, "orted") == 0) {
    program = format("%s/libexec/orted", root);
    words[0] = format("%s/bin/orted", root);
  } else {
    const char* option = take_torch_option(&count, words);
    const char* variable = getenv("CLTRAIN_TORCH");
    if (variable && !*variable) variable = NULL;
    site = find_torch(option ? option : variable, option ? "--torch" : "CLTRAIN_TORCH", root);
    program = format("%s/libexec/cltrain", root);
  }
  set_library_path(root, site);
  set_mpi_folders(root);
  do_without_ssh();
  execv(program, words);
  refuse(kFailure,
         format("cannot start %s: %s%s", program, strerror(errno),
                errno == ENOENT ? " (it needs glibc's /lib64/ld-linux-x86-64.so.2)" : ""));
}
