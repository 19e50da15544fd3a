/* SPDX-License-Identifier: MIT
 *
 * Types as Python has them. Handles are bare objects that the collector frees: virtsock/_stream.py and _address.py wrap them, no class is
 * generated. A failure raises; results are returned. What is more than a type's rule stands in python_support.c.
 */

%begin %{
#define SWIG_TYPE_TABLE virtsock
%}

%insert("header") "python_support.c"
%insert("header") "python_stream.c"

%init %{
  if (own(m, SWIGTYPE_p_virtsock_address, "delete_address") != 0 || own(m, SWIGTYPE_p_virtsock_options, "delete_options") != 0 ||
      own(m, SWIGTYPE_p_virtsock_stream, "delete_stream") != 0 || own(m, SWIGTYPE_p_virtsock_listener, "delete_listener") != 0 ||
      PyModule_AddFunctions(m, functions) != 0 || add_types(m) != 0)
    return -1;
%}

/* Handles: that type and no other; None only where the header says that NULL is a default. */

%define %python_handle(kind)
%typemap(in, noblock=1) kind *, const kind * {
  if (($1 = ($1_ltype)handle_of($input, $descriptor)) == NULL)
    SWIG_fail;
}
%typemap(argout) kind **out {
  if (result == VIRTSOCK_OK && ($result = new_handle(*$1, $*1_descriptor)) == NULL)
    SWIG_fail;
}
%enddef

%python_handle(virtsock_address)
%python_handle(virtsock_options)
%python_handle(virtsock_stream)
%python_handle(virtsock_listener)

%typemap(in, noblock=1) const virtsock_options *options, const virtsock_address *from {
  if ($input != Py_None && ($1 = ($1_ltype)handle_of($input, $descriptor)) == NULL)
    SWIG_fail;
}
%typemap(out) virtsock_options * "$result = $1 != NULL ? new_handle($1, $descriptor) : PyErr_NoMemory();"

/* Integers, exact. */

%define %python_integer(type, min, max)
%typemap(in) type (int64_t number) {
  if (!exact($input, min, max, &number))
    SWIG_fail;
  $1 = (type)number;
}
%enddef

%python_integer(int, INT_MIN, INT_MAX)
%python_integer(uint32_t, 0, UINT32_MAX)
%python_integer(int64_t, INT64_MIN, INT64_MAX)
%typemap(out) int64_t "$result = PyLong_FromLongLong($1);"

%typemap(in) int timeout_ms (int64_t number), int linger_ms (int64_t number) {
  if (!exact($input, -1, INT_MAX, &number))
    SWIG_fail;
  $1 = (int)number;
}

/* Text: str, as UTF-8. */

%typemap(in, noblock=1) const char * (PyObject *kept = NULL) {
  if (($1 = ($1_ltype)text_of($input, &kept)) == NULL)
    SWIG_fail;
}
%typemap(freearg) const char * "Py_XDECREF(kept$argnum);"
%typemap(out) const char *
    "$result = $1 != NULL ? PyUnicode_DecodeUTF8($1, (Py_ssize_t)strlen($1), \"surrogateescape\") : SWIG_Py_Void();"
%typemap(argout) char out[37] {
  Py_XDECREF($result);
  $result = PyUnicode_FromString($1);
}

%typemap(in, numinputs=0) (char *buf, size_t cap) (char text[512]) "$1 = text; $2 = sizeof text;"
%typemap(out) size_t virtsock_address_format "$result = NULL;"
%typemap(argout) (char *buf, size_t cap) {
  if (result < $2)
    $result = PyUnicode_FromString($1);
  else {
    char *all = PyMem_Malloc(result + 1);
    if (all == NULL) {
      PyErr_NoMemory();
      SWIG_fail;
    }
    virtsock_address_format(arg1, all, result + 1);
    $result = PyUnicode_FromString(all);
    PyMem_Free(all);
  }
}

/* A part's value: a number or a text. */

%typemap(in, noblock=1) (uint32_t number, const char *text) (int64_t number = 0, PyObject *kept = NULL) {
  if (PyUnicode_Check($input) ? ($2 = ($2_ltype)text_of($input, &kept)) == NULL : !exact($input, 0, UINT32_MAX, &number))
    SWIG_fail;
  $1 = (uint32_t)number;
}
%typemap(freearg) (uint32_t number, const char *text) "Py_XDECREF(kept$argnum);"

/* Buffers, pinned for the whole call. */

%typemap(in) (const void *data, size_t size) (Py_buffer view = { 0 }) {
  if (PyObject_GetBuffer($input, &view, PyBUF_SIMPLE) != 0)
    SWIG_fail;
  $1 = view.buf;
  $2 = (size_t)view.len;
}
%typemap(in) (void *buf, size_t size) (Py_buffer view = { 0 }) {
  if (!pin_writable($input, &view))
    SWIG_fail;
  $1 = view.buf;
  $2 = (size_t)view.len;
}
%apply (void *buf, size_t size) { (void *buf, size_t cap) }
%typemap(freearg) (const void *data, size_t size), (void *buf, size_t size), (void *buf, size_t cap)
    "PyBuffer_Release(&view$argnum);"

%typemap(in) (const virtsock_slice *slices, size_t count) (struct pieces pieces = { 0 }) {
  if (!pin_all($input, &pieces))
    SWIG_fail;
  $1 = pieces.slices;
  $2 = (size_t)pieces.count;
}
%typemap(freearg) (const virtsock_slice *slices, size_t count) "unpin(&pieces$argnum);"

/* Results: a status is None, or raised once the record is there; a call that moves bytes returns their number. */

%typemap(out) virtsock_status "$result = NULL;"

%typemap(argout) virtsock_error *err {
  if (result != VIRTSOCK_OK) {
    raise_error(result, $1, 0);
    SWIG_fail;
  }
  if ($result == NULL)
    $result = SWIG_Py_Void();
}
%typemap(in) (size_t *done, int timeout_ms, virtsock_error *err) (size_t done = 0, virtsock_error record, int64_t number) {
  if (!exact($input, -1, INT_MAX, &number))
    SWIG_fail;
  $1 = &done;
  $2 = (int)number;
  $3 = &record;
}
%typemap(argout) (size_t *done, int timeout_ms, virtsock_error *err) {
  if (result != VIRTSOCK_OK) {
    raise_error(result, $3, *$1);
    SWIG_fail;
  }
  $result = PyLong_FromSize_t(*$1);
}
%typemap(argout) uint32_t *cid, int64_t *value, virtsock_fd *fd {
  if (result == VIRTSOCK_OK)
    $result = PyLong_FromLongLong((long long)*$1);
}
%typemap(argout) uint32_t *value "$result = result == VIRTSOCK_OK ? PyLong_FromUnsignedLong(*$1) : SWIG_Py_Void();"
%typemap(argout) uint32_t *port {
  if (result != VIRTSOCK_OK) {
    raise_no_port(result, arg1);
    SWIG_fail;
  }
  $result = PyLong_FromUnsignedLong(*$1);
}
%typemap(in, numinputs=0) (virtsock_fd *fd, int *events, int *timeout_ms) (virtsock_fd fd = -1, int events = 0, int wait_ms = -1)
    "$1 = &fd; $2 = &events; $3 = &wait_ms;"
%typemap(argout) (virtsock_fd *fd, int *events, int *timeout_ms) {
  Py_XDECREF($result);
  $result = Py_BuildValue("Lii", (long long)*$1, *$2, *$3);
}

/* Waiting: without the GIL, and through signals. */

%exception virtsock_stream_send { result = move_bytes(SEND, arg1, arg2, arg3, arg4, arg5, arg6); }
%exception virtsock_stream_recv { result = move_bytes(RECV, arg1, arg2, arg3, arg4, arg5, arg6); }
%exception virtsock_stream_send_all { result = move_bytes(SEND_ALL, arg1, arg2, arg3, arg4, arg5, arg6); }
%exception virtsock_stream_recv_exact { result = move_bytes(RECV_EXACT, arg1, arg2, arg3, arg4, arg5, arg6); }
%exception virtsock_stream_sendv { result = move_bytes(SENDV, arg1, arg2, arg3, arg4, arg5, arg6); }
%exception virtsock_connect { result = connect_to(arg1, arg2, arg3, arg4); }
%exception virtsock_accept { result = accept_one(arg1, arg2, arg3, arg4); }
%exception virtsock_stream_close { result = close_stream(arg1, arg2, arg3); }
%exception virtsock_stream_connect {
  struct wait w = wait_begin(arg2);
  do {
    arg2 = w.left;
    $action
  } while (wait_on(&w, result));
}

%define %python_releases(function)
%exception function {
  struct wait w = wait_begin(-1);
  do {
    $action
  } while (wait_on(&w, result));
}
%enddef

%python_releases(virtsock_resolve)
%python_releases(virtsock_listen)
%python_releases(virtsock_stream_shutdown)
%python_releases(virtsock_listener_close)
%python_releases(virtsock_service_register)
%python_releases(virtsock_service_unregister)
