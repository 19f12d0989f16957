/* The seven tools: names, fields, and what a model is told of them. This one table makes the schemas (schema.c, at
 * compile time) and drives the check of every input (input.c), so that the two cannot say different things.
 *
 * TOOLS:  T(name, fields, description)
 * fields: F(name, type, need, choices, description), S between them
 *
 * Types: TEXT; STRING, one without NUL; CHOICE, a string out of `choices`; SECONDS, a number above 0; FLAG; STRINGS, a
 * list; CONTENT, a list of objects with CONTENT_FIELDS. Descriptions go into JSON as they stand: no quotation mark, no
 * backslash. At most one field of a tool is REQUIRED by itself; what depends on other fields is checked where the tool
 * is started. */
#ifndef CII_TOOLS_TABLE_H
#define CII_TOOLS_TABLE_H

#define NO_CHOICES(C, S)
#define LANGUAGES(C, S) C("python") S C("javascript") S C("typescript") S C("bash")
#define OPERATIONS(C, S) C("read") S C("write") S C("list") S C("remove")

// clang-format off
#define EXECUTE_CODE_FIELDS(F, S)                                                                                      \
      F(code, TEXT, REQUIRED, NO_CHOICES,                                                                              \
          "The code. Print what you want to see; the value of the last expression is returned too.")                   \
    S F(language, CHOICE, OPTIONAL, LANGUAGES, "Language of the code; python when left out.")                          \
    S F(output_filename, STRING, OPTIONAL, NO_CHOICES,                                                                 \
          "A file that the code writes, by exactly the name it writes to, relative to the sandbox root. It is "        \
          "saved to the workspace as code-interpreter/NAME after the run.")                                            \
    S F(context, STRING, OPTIONAL, NO_CHOICES,                                                                         \
          "Name of a separate set of variables (letters, digits, _ and -). Leave it out to go on with the usual "      \
          "one.")                                                                                                      \
    S F(clear_context, FLAG, OPTIONAL, NO_CHOICES,                                                                     \
          "true: forget all variables of the context before the code runs; files stay.")                               \
    S F(timeout, SECONDS, OPTIONAL, NO_CHOICES,                                                                        \
          "Seconds after which the code is interrupted; variables defined before are kept when possible.")

#define EXECUTE_COMMAND_FIELDS(F, S)                                                                                   \
      F(command, STRING, REQUIRED, NO_CHOICES,                                                                         \
          "A command line for bash: pipes, heredocs, several commands. Standard input is empty.")                      \
    S F(timeout, SECONDS, OPTIONAL, NO_CHOICES, "Seconds after which the command and all that it started are killed.") \
    S F(background, FLAG, OPTIONAL, NO_CHOICES,                                                                        \
          "true: return at once and leave the command running, a server for instance.")

#define FILE_OPERATIONS_FIELDS(F, S)                                                                                   \
      F(operation, CHOICE, REQUIRED, OPERATIONS, "What to do.")                                                        \
    S F(paths, STRINGS, OPTIONAL, NO_CHOICES,                                                                          \
          "For read, list and remove: paths relative to the sandbox root. list without paths lists the root.")         \
    S F(content, CONTENT, OPTIONAL, NO_CHOICES, "For write: the files, each with path and either text or blob.")

#define CONTENT_FIELDS(F, S)                                                                                           \
      F(path, STRING, REQUIRED, NO_CHOICES, "Path relative to the sandbox root; missing folders are made.")            \
    S F(text, TEXT, OPTIONAL, NO_CHOICES, "The content as text.")                                                      \
    S F(blob, STRING, OPTIONAL, NO_CHOICES, "The content as base64, for binary files.")

#define PUSH_FIELDS(F, S)                                                                                              \
      F(paths, STRINGS, OPTIONAL, NO_CHOICES,                                                                          \
          "Files and folders to save, relative to the sandbox root. Leave it out to save all files.")

#define WORKSPACE_READ_FIELDS(F, S)                                                                                    \
      F(path, STRING, REQUIRED, NO_CHOICES, "Name of the file in the workspace, such as code-interpreter/chart.png.")

#define WORKSPACE_LIST_FIELDS(F, S)                                                                                    \
      F(path, STRING, OPTIONAL, NO_CHOICES,                                                                            \
          "Where to look, such as code-interpreter/ or uploads/. Leave it out to list everything.")

#define WORKSPACE_WRITE_FIELDS(F, S)                                                                                   \
      F(path, STRING, REQUIRED, NO_CHOICES, "Name of the file in the workspace, such as code-interpreter/notes.md.")   \
    S F(text, TEXT, OPTIONAL, NO_CHOICES, "The content as text. Give either text or blob.")                            \
    S F(blob, STRING, OPTIONAL, NO_CHOICES, "The content as base64, for binary files.")

#define TOOLS(T, S)                                                                                                    \
      T(execute_code, EXECUTE_CODE_FIELDS,                                                                             \
          "Run code in an isolated sandbox and get what it prints, the value of its last expression, and figures "     \
          "as images. Variables, imports and files persist from call to call, also after an error. The working "       \
          "folder is the sandbox root; files uploaded by the user are already there (uploads/a.csv as a.csv), ZIP "    \
          "and other archives unpacked into a folder of the same name. There is no display, and no network unless "    \
          "it was allowed, which may be for some names and addresses only: a call that fails then says what was "      \
          "refused and by which rule, and to try it again is no use. For shell commands use execute_command.")         \
    S T(execute_command, EXECUTE_COMMAND_FIELDS,                                                                       \
          "Run a shell command in the sandbox root, on the same files that execute_code sees, and get its stdout, "    \
          "stderr and exit code. Every call is a new shell: folder and shell variables do not persist, files do. "     \
          "What pip install installs can be imported by execute_code at once; installing needs a network that was "    \
          "allowed.")                                                                                                  \
    S T(file_operations, FILE_OPERATIONS_FIELDS,                                                                       \
          "Read, write, list or remove files in the sandbox. Text is returned as it is, binary content as base64; "    \
          "at most 32 MiB a file. list shows one level of a folder, remove takes folders with all they hold. When "    \
          "some paths fail the others are done all the same.")                                                         \
    S T(ci_push_to_workspace, PUSH_FIELDS,                                                                             \
          "Save files of the sandbox to the workspace, which outlives the sandbox, under code-interpreter/ with "      \
          "their folders kept. Files that the workspace already has unchanged are not sent again.")                    \
    S T(workspace_read, WORKSPACE_READ_FIELDS,                                                                         \
          "Read a file of the workspace: text as it is, binary content as base64; at most 32 MiB.")                    \
    S T(workspace_list, WORKSPACE_LIST_FIELDS,                                                                         \
          "List the files of the workspace, all levels: uploads/ holds what the user uploaded, code-interpreter/ "     \
          "what was saved from the sandbox.")                                                                          \
    S T(workspace_write, WORKSPACE_WRITE_FIELDS,                                                                       \
          "Write a file to the workspace directly, without the sandbox, from either text or blob. An existing file "   \
          "is replaced.")
// clang-format on

#endif
