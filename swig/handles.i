/* SPDX-License-Identifier: MIT
 *
 * Shared rules, before any language's: names without the prefix, handles that the collector frees, and the parameters that are results and
 * so disappear from the arguments. What becomes of a result is the language's file.
 */

%rename("%(regex:/^(?:virtsock|VIRTSOCK)_(.*)/\\1/)s") "";

/* A failure is raised or returned by the language's one function, which reads the record and asks for the advice. */
%ignore virtsock_error;
%ignore virtsock_slice;
%ignore virtsock_advice;

%define %handle(kind)
%ignore kind##_free;
%nodefaultctor kind;
typedef struct kind {} kind;
%extend kind { ~kind() { kind##_free($self); } }
%typemap(in, numinputs=0) kind **out (kind *made = NULL) "$1 = &made;"
%enddef

%handle(virtsock_address)
%handle(virtsock_options)
%handle(virtsock_stream)
%handle(virtsock_listener)

%newobject virtsock_options_new;

%typemap(in, numinputs=0) virtsock_error *err (virtsock_error record = { 0 }) "$1 = &record;"
%typemap(in, numinputs=0) size_t *done (size_t done = 0) "$1 = &done;"
%typemap(in, numinputs=0) uint32_t *value (uint32_t number = 0), uint32_t *port (uint32_t number = 0), uint32_t *cid (uint32_t number = 0)
    "$1 = &number;"
%typemap(in, numinputs=0) int64_t *value (int64_t number = 0) "$1 = &number;"
%typemap(in, numinputs=0) virtsock_fd *fd (virtsock_fd fd = -1) "$1 = &fd;"
%typemap(in, numinputs=0) int *events (int events = 0) "$1 = &events;"
%typemap(in, numinputs=0) int *timeout_ms (int wait_ms = -1) "$1 = &wait_ms;"
%typemap(in, numinputs=0) char out[37] (char text[37] = "") "$1 = text;"
