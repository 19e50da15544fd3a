/* SPDX-License-Identifier: MIT
 *
 * What Python needs beside typemaps: errors, exact integers, times, pinned buffers, and calls that wait. SWIG puts this text into the module
 * that it makes. It knows the public header, SWIG's run-time part and the limited Python API.
 *
 * A call with data ready keeps the GIL: a thread that gives it up can wait 5 ms to get it back. So a call is first tried without a
 * wait, and gives the GIL up only if it must wait or has much to copy. A signal ends the wait, Python's handlers run, and the call
 * goes on with the time that is left (PEP 475), unless a handler raised.
 */
#include <float.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
#endif

#define QUICK 65536                     /* bytes that may be copied with the GIL held: some microseconds */

/* --- Errors and arguments ----------------------------------------------------------------------------------------- */

static PyObject *error_maker;           /* what set_error_maker was given */

/* Raises what the maker makes of the failure, unless a signal handler has raised. done: bytes that went before it. err
 * may be NULL, and is of another failure where the status was made here. */
static void raise_error(virtsock_status status, const virtsock_error *err, size_t done)
{
    virtsock_error bare = { 0 };
    const bool told = err != NULL && err->status == status;
    const virtsock_error *e = told ? err : &bare;
    const char *text = told ? e->message : virtsock_status_name(status);
    PyObject *error;

    if (PyErr_Occurred())
        return;
    bare.status = status;
    if (error_maker == NULL) {
        PyErr_SetString(PyExc_OSError, text);
        return;
    }
    error = PyObject_CallFunction(error_maker, "iiisNzn", (int)status, (int)e->os_code, (int)e->attempts, e->op,
                                  PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace"), virtsock_advice(e), (Py_ssize_t)done);
    if (error == NULL)
        return;
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
}

/* For the one function that has no record. */
static void raise_no_port(virtsock_status status, const char *service)
{
    virtsock_error err = { status, 0, 0, 0, "service", "" };

    snprintf(err.message, sizeof err.message, "service %.64s: %s", service,
             status == VIRTSOCK_E_NOT_FOUND ? "this GUID stands for no port" : "this is no GUID");
    raise_error(status, &err, 0);
}

/* The pointer behind a handle of that very type; NULL: raised. Nothing else is looked for: no handle has subclasses or proxies. */
static void *handle_of(PyObject *object, swig_type_info *type)
{
    SwigPyObject *handle = (SwigPyObject *)object;

    if (Py_TYPE(object) == SwigPyObject_Type() && handle->ty == type)
        return handle->ptr;
    PyErr_Format(PyExc_TypeError, "a handle of type %s is wanted, not %R", SWIG_TypePrettyName(type), (PyObject *)Py_TYPE(object));
    return NULL;
}

/* An owning handle; NULL: raised, and the pointer is freed. */
static PyObject *new_handle(void *pointer, swig_type_info *type)
{
    return SWIG_NewPointerObj(pointer, type, SWIG_POINTER_OWN | SWIG_POINTER_NOSHADOW);
}

/* A whole number within limits; false: raised. A bool is none. */
static bool exact(PyObject *object, int64_t min, int64_t max, int64_t *value)
{
    PyObject *whole;
    int overflow;

    if (Py_TYPE(object) == &PyLong_Type) {          /* as nearly always */
        whole = object;
        Py_INCREF(whole);
    } else if (PyBool_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "an integer is wanted, not a bool");
        return false;
    } else if ((whole = PyNumber_Index(object)) == NULL)
        return false;
    *value = PyLong_AsLongLongAndOverflow(whole, &overflow);
    Py_DECREF(whole);
    if (overflow == 0 && *value >= min && *value <= max)
        return true;
    PyErr_Format(PyExc_OverflowError, "%R is not within %lld..%lld", object, (long long)min, (long long)max);
    return false;
}

/* Seconds as ms, rounded up so that no wait ends early; None and infinity are for ever, -1. False: raised. */
static bool in_ms(PyObject *seconds, int *ms)
{
    double value;

    *ms = -1;
    if (seconds == Py_None)
        return true;
    value = PyFloat_AsDouble(seconds) * 1000;
    if (PyErr_Occurred())
        return false;
    if (value > DBL_MAX)
        return true;
    if (!(value >= 0)) {
        PyErr_SetString(PyExc_ValueError, "a time is at least 0 seconds, or None for ever");
        return false;
    }
    if (value > INT_MAX) {
        PyErr_Format(PyExc_OverflowError, "%R seconds are too long: at most %d, or None for ever", seconds, INT_MAX / 1000);
        return false;
    }
    *ms = (int)value;
    *ms += *ms < value;
    return true;
}

/* A str as UTF-8, with the bytes that os.fsdecode has hidden in it; NULL: raised. It lives as long as the str and *kept, which may be NULL.
 * A text that no address can hold is the same failure as any other bad text. */
static const char *text_of(PyObject *object, PyObject **kept)
{
    virtsock_error err = { VIRTSOCK_E_INVALID, 0, 0, 0, "text", "text: a lone surrogate is no character" };
    const char *text;
    Py_ssize_t size = -1;

    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "a str is wanted, not %R", (PyObject *)Py_TYPE(object));
        return NULL;
    }
    if ((text = PyUnicode_AsUTF8AndSize(object, &size)) == NULL && PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        PyErr_Clear();
        if ((*kept = PyUnicode_AsEncodedString(object, "utf-8", "surrogateescape")) != NULL) {
            text = PyBytes_AsString(*kept);
            size = PyBytes_Size(*kept);
        } else if (PyErr_ExceptionMatches(PyExc_UnicodeError)) {
            PyErr_Clear();
            raise_error(VIRTSOCK_E_INVALID, &err, 0);
        }
    }
    if (text == NULL || strlen(text) == (size_t)size)
        return text;
    strcpy(err.message, "text: a NUL ends no text here");
    raise_error(VIRTSOCK_E_INVALID, &err, 0);
    return NULL;
}

/* Pins what is written to; as for the standard library, anything that cannot be is a TypeError. */
static bool pin_writable(PyObject *object, Py_buffer *view)
{
    if (PyObject_GetBuffer(object, view, PyBUF_WRITABLE) == 0)
        return true;
    PyErr_Format(PyExc_TypeError, "a writable bytes-like object is wanted, not %R", (PyObject *)Py_TYPE(object));
    return false;
}

struct pieces {                         /* of a sendv, each pinned */
    Py_ssize_t      count, pinned;
    Py_buffer      *views;
    virtsock_slice *slices;
};

static void unpin(struct pieces *pieces)
{
    while (pieces->pinned > 0)
        PyBuffer_Release(&pieces->views[--pieces->pinned]);
    PyMem_Free(pieces->views);
    PyMem_Free(pieces->slices);
}

/* Pins all buffers of an iterable; false: raised. unpin in both cases. */
static bool pin_all(PyObject *iterable, struct pieces *pieces)
{
    PyObject *all = PySequence_Tuple(iterable);

    if (all == NULL)
        return false;
    pieces->count = PyTuple_Size(all);
    pieces->views = PyMem_Calloc((size_t)pieces->count + 1, sizeof *pieces->views);
    pieces->slices = PyMem_Calloc((size_t)pieces->count + 1, sizeof *pieces->slices);
    if (pieces->views == NULL || pieces->slices == NULL)
        PyErr_NoMemory();
    else
        for (; pieces->pinned < pieces->count; pieces->pinned++) {
            Py_buffer *view = &pieces->views[pieces->pinned];
            if (PyObject_GetBuffer(PyTuple_GetItem(all, pieces->pinned), view, PyBUF_SIMPLE) != 0)
                break;
            pieces->slices[pieces->pinned] = (virtsock_slice){ view->buf, (size_t)view->len };
        }
    Py_DECREF(all);
    return pieces->slices != NULL && pieces->pinned == pieces->count;
}

/* --- Calls that wait ------------------------------------------------------------------------------------------------ */

struct wait {                           /* a call without the GIL, from wait_begin until wait_on is false */
    PyThreadState *thread;
    int64_t        until;               /* monotonic ms */
    int            left;                /* ms for the next try: -1 for ever */
};

static int64_t now_ns(void)
{
#ifdef _WIN32
    return (int64_t)GetTickCount64() * 1000000;
#else
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

static int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

/* Gives the GIL up. */
static struct wait wait_begin(int timeout_ms)
{
    struct wait w = { NULL, 0, timeout_ms };

    if (timeout_ms > 0)
        w.until = now_ms() + timeout_ms + 1;    /* never early, whatever the clock's fraction */
    w.thread = PyEval_SaveThread();
    return w;
}

/* True: call again. False: it is over, and the GIL is back; where a signal handler raised, that is the error. */
static bool wait_on(struct wait *w, virtsock_status status)
{
    PyEval_RestoreThread(w->thread);
    if (status != VIRTSOCK_E_INTERRUPTED || PyErr_CheckSignals() != 0)
        return false;
    if (w->left > 0) {
        int64_t left = w->until - now_ms();
        w->left = left > 0 ? (int)left : 0;
    }
    w->thread = PyEval_SaveThread();
    return true;
}

/* A call whose time passed in a signal handler has ended with a look alone. */
static virtsock_status ended(virtsock_status status, int timeout_ms)
{
    return status == VIRTSOCK_E_AGAIN && timeout_ms > 0 ? VIRTSOCK_E_TIMEOUT : status;
}

enum transfer { SEND, SENDV, SEND_ALL, RECV, RECV_EXACT };

/* One try; *done grows. size is the number of slices for SENDV. */
static virtsock_status step(enum transfer what, virtsock_stream *stream, void *bytes, size_t size, size_t *done, int timeout_ms,
                            virtsock_error *err)
{
    char *rest = (char *)bytes + *done;
    size_t left = size - *done, more = 0;
    virtsock_status status;

    if (what == SEND)
        status = virtsock_stream_send(stream, rest, left, &more, timeout_ms, err);
    else if (what == SENDV)
        status = virtsock_stream_sendv(stream, bytes, size, &more, timeout_ms, err);
    else if (what == SEND_ALL)
        status = virtsock_stream_send_all(stream, rest, left, &more, timeout_ms, err);
    else if (what == RECV)
        status = virtsock_stream_recv(stream, rest, left, &more, timeout_ms, err);
    else
        status = virtsock_stream_recv_exact(stream, rest, left, &more, timeout_ms, err);
    *done += more;
    return status;
}

/* Whether to try with the GIL held: not if there is much to copy, and no message, which a send that may not wait could tear. */
static bool may_try(enum transfer what, const virtsock_stream *stream, const void *bytes, size_t size)
{
    const virtsock_slice *slices = bytes;
    size_t total = what == SENDV ? 0 : size;
    int64_t type;

    for (size_t i = 0; what == SENDV && i < size && total <= QUICK; i++)
        total += slices[i].size <= QUICK ? slices[i].size : QUICK + 1;
    if (total > QUICK || what == RECV || what == RECV_EXACT)
        return total <= QUICK;
    return virtsock_stream_get(stream, VIRTSOCK_ITEM_TYPE, &type, NULL) == VIRTSOCK_OK && type == VIRTSOCK_TYPE_STREAM;
}

/* at_once: tried with the GIL held first. */
static virtsock_status transfer(enum transfer what, bool at_once, virtsock_stream *stream, const void *bytes, size_t size, size_t *done,
                                int timeout_ms, virtsock_error *err)
{
    virtsock_status status;
    struct wait w;

    *done = 0;
    if (at_once) {
        status = step(what, stream, (void *)bytes, size, done, 0, err);
        if (status != VIRTSOCK_E_AGAIN || timeout_ms == 0)
            return status;
    }
    w = wait_begin(timeout_ms);
    do
        status = step(what, stream, (void *)bytes, size, done, w.left, err);
    while (wait_on(&w, status));
    return ended(status, timeout_ms);
}

static virtsock_status move_bytes(enum transfer what, virtsock_stream *stream, const void *bytes, size_t size, size_t *done, int timeout_ms,
                                  virtsock_error *err)
{
    return transfer(what, may_try(what, stream, bytes, size), stream, bytes, size, done, timeout_ms, err);
}

static virtsock_status accept_one(virtsock_stream **out, virtsock_listener *listener, int timeout_ms, virtsock_error *err)
{
    virtsock_status status = virtsock_accept(out, listener, 0, err);
    struct wait w;

    if (status != VIRTSOCK_E_AGAIN || timeout_ms == 0)
        return status;
    w = wait_begin(timeout_ms);
    do
        status = virtsock_accept(out, listener, w.left, err);
    while (wait_on(&w, status));
    return ended(status, timeout_ms);
}

/* virtsock_connect, but a signal does not end it. */
static virtsock_status connect_to(virtsock_stream **out, const virtsock_address *address, const virtsock_options *options,
                                         virtsock_error *err)
{
    virtsock_address *found;
    virtsock_stream *stream = NULL;
    virtsock_status status;
    struct wait w = wait_begin(-1);

    *out = NULL;
    do
        status = virtsock_resolve(&found, address, options, err);
    while (wait_on(&w, status));
    if (status == VIRTSOCK_OK)
        status = virtsock_connect_start(&stream, found, options, err);
    virtsock_address_free(found);
    if (status == VIRTSOCK_OK) {
        w = wait_begin(-1);
        do
            status = virtsock_stream_connect(stream, w.left, err);
        while (wait_on(&w, status));
    }
    if (status == VIRTSOCK_OK)
        *out = stream;
    else
        virtsock_stream_free(stream);
    return status;
}

/* It keeps its time through signals; a handler that raises ends it, and the connection at once. */
static virtsock_status close_stream(virtsock_stream *stream, int linger_ms, virtsock_error *err)
{
    struct wait w = wait_begin(-1);
    virtsock_status status;

    do
        status = virtsock_stream_close(stream, linger_ms, err);
    while (wait_on(&w, status));
    if (status == VIRTSOCK_E_INTERRUPTED)
        virtsock_stream_close(stream, 0, NULL);
    return status;
}

/* --- The module ---------------------------------------------------------------------------------------------------- */

static PyObject *set_error_maker(PyObject *module, PyObject *maker)
{
    PyObject *before = error_maker;

    (void)module;
    if (!PyCallable_Check(maker)) {
        PyErr_SetString(PyExc_TypeError, "a callable is wanted");
        return NULL;
    }
    Py_INCREF(maker);
    error_maker = maker;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

/* For the layer, which has more times than the timeout. */
static PyObject *milliseconds(PyObject *module, PyObject *seconds)
{
    int ms;

    (void)module;
    return in_ms(seconds, &ms) ? PyLong_FromLong(ms) : NULL;
}

static PyMethodDef functions[] = {
    { "milliseconds", milliseconds, METH_O, NULL },
    { "set_error_maker", set_error_maker, METH_O, NULL },
    { NULL, NULL, 0, NULL }
};

/* Lets the collector free handles of a type by the function that SWIG made, which nobody else may call: it is taken out of the module. */
static int own(PyObject *module, swig_type_info *type, const char *deleter)
{
    SwigPyClientData *data = PyMem_Calloc(1, sizeof *data);

    if (data == NULL || (data->destroy = PyObject_GetAttrString(module, deleter)) == NULL)
        return -1;
    SWIG_TypeClientData(type, data);
    return PyObject_DelAttrString(module, deleter);
}
