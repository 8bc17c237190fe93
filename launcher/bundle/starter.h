/* What the files of the starter share (starter.c tells what it is). */
#pragma once

enum { kFailure = 1, kConfigError = 2 };

/* As printf, into memory of its own; never NULL. */
char* format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
/* Prints `text` on the rank announced as 0 and ends the program. */
_Noreturn void refuse(int code, const char* text);
int is_file(const char* path);
int is_folder(const char* path);

/* The folder that holds torch/ (and nvidia/) of the wheel that the bundle was linked with: `asked`,
 * which `asked_by` gave, or the first of the usual places. Refuses where it is not there or
 * another.
 */
char* find_torch(const char* asked, const char* asked_by, const char* root);

/* Sets LD_LIBRARY_PATH for the program of the bundle in `root`, with torch of `site` unless NULL.
 */
void set_library_path(const char* root, const char* site);
