/* SPDX-License-Identifier: MIT
 *
 * What virtsock.Stream and virtsock.Listener inherit: a handle, a timeout, and the methods that are called most, with no Python frame between a
 * program and the core. SWIG puts this text into the module that it makes, after python_support.c.
 *
 * The classes of the layer are subclasses, so the types here have no collector's functions: a handle refers to nothing. They cannot be pickled,
 * since they have more than their slots tell.
 */
#include <stddef.h>
#include <structmember.h>

struct timed {
    PyObject_HEAD
    PyObject *handle;                   /* SWIG's, which frees what is behind it; set once */
    int       timeout_ms;               /* of each call: -1 for ever, 0 never waits */
};

struct stream {
    struct timed     timed;
    virtsock_stream *core;              /* the handle's */
    bool             messages;          /* seqpacket: a send is not tried, because one that may not wait could tear it */
    bool             waits;             /* the last receive had to */
    char             closing;           /* `close` was called while there were files */
    int              files;             /* of makefile, that are open */
};

struct listener {
    struct timed       timed;
    virtsock_listener *core;
};

/* --- Both ----------------------------------------------------------------------------------------------------------- */

/* Arguments: a handle of that kind, timeout_ms. *core: what is behind it. */
static PyObject *new_timed(PyTypeObject *type, PyObject *args, PyObject *named, swig_type_info *kind, void **core)
{
    static char *names[] = { "handle", "timeout_ms", NULL };
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *handle, *self;
    int timeout_ms = -1;

    if (!PyArg_ParseTupleAndKeywords(args, named, "O|i", names, &handle, &timeout_ms) || (*core = handle_of(handle, kind)) == NULL ||
        (self = allocate(type, 0)) == NULL)
        return NULL;
    Py_INCREF(handle);
    ((struct timed *)self)->handle = handle;
    ((struct timed *)self)->timeout_ms = timeout_ms;
    return self;
}

/* By the one string of that name: every other would stay in the interpreter's cache of attributes. */
static PyObject *call(PyObject *self, const char *method)
{
    PyObject *name = PyUnicode_InternFromString(method), *result;

    if (name == NULL)
        return NULL;
    result = PyObject_CallMethodObjArgs(self, name, NULL);
    Py_DECREF(name);
    return result;
}

/* An open one that nobody closed is told of. */
static void finalize(PyObject *self, virtsock_fd fd)
{
    PyObject *type, *value, *trace;

    if (fd < 0)
        return;
    PyErr_Fetch(&type, &value, &trace);
    if (PyErr_ResourceWarning(self, 1, "unclosed %R", self) != 0)
        PyErr_WriteUnraisable(self);
    PyErr_Restore(type, value, trace);
}

static void timed_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_XDECREF(((struct timed *)self)->handle);
    release(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(settimeout_doc, "settimeout($self, seconds, /)\n--\n\n"
             "The seconds that each call may take from now on: None waits for ever, 0 never waits. `ValueError`: less than 0.");
static PyObject *timed_settimeout(PyObject *self, PyObject *seconds)
{
    int timeout_ms;

    if (!in_ms(seconds, &timeout_ms))
        return NULL;
    ((struct timed *)self)->timeout_ms = timeout_ms;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(gettimeout_doc, "gettimeout($self, /)\n--\n\nThe limit of each call in seconds; None: for ever.");
static PyObject *timed_gettimeout(PyObject *self, PyObject *none)
{
    int timeout_ms = ((struct timed *)self)->timeout_ms;

    (void)none;
    if (timeout_ms < 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(timeout_ms / 1000.0);
}

PyDoc_STRVAR(setblocking_doc, "setblocking($self, flag, /)\n--\n\n`settimeout(None)` or `settimeout(0)`.");
static PyObject *timed_setblocking(PyObject *self, PyObject *flag)
{
    int blocks = PyObject_IsTrue(flag);

    if (blocks < 0)
        return NULL;
    ((struct timed *)self)->timeout_ms = blocks ? -1 : 0;
    Py_RETURN_NONE;
}

static PyObject *timed_enter(PyObject *self, PyObject *none)
{
    (void)none;
    Py_INCREF(self);
    return self;
}

/* Where the block has raised, how the close failed is no news. */
static PyObject *timed_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *result = call(self, "close");

    if (result != NULL || count == 0 || args[0] == Py_None || !PyErr_ExceptionMatches(PyExc_OSError))
        return result;
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyMethodDef timed_methods[] = {
    { "settimeout", timed_settimeout, METH_O, settimeout_doc },
    { "gettimeout", timed_gettimeout, METH_NOARGS, gettimeout_doc },
    { "setblocking", timed_setblocking, METH_O, setblocking_doc },
    { "__enter__", timed_enter, METH_NOARGS, "__enter__($self, /)\n--\n\n" },
    { "__exit__", (PyCFunction)(void (*)(void))timed_exit, METH_FASTCALL, "__exit__($self, kind, error, trace, /)\n--\n\nCloses." },
    { NULL, NULL, 0, NULL }
};

static PyMemberDef timed_members[] = {
    { "_handle", T_OBJECT_EX, offsetof(struct timed, handle), READONLY, NULL },
    { "_ms", T_INT, offsetof(struct timed, timeout_ms), READONLY, NULL },
    { NULL, 0, 0, 0, NULL }
};

static PyType_Slot timed_slots[] = {
    { Py_tp_doc, "What streams and listeners have in common: a handle, and the limit of each call." },
    { Py_tp_dealloc, (void *)timed_dealloc },
    { Py_tp_methods, timed_methods },
    { Py_tp_members, timed_members },
    { 0, NULL }
};

/* --- Streams -------------------------------------------------------------------------------------------------------- */

static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    int64_t kind = 0;
    void *core;
    PyObject *self = new_timed(type, args, named, SWIGTYPE_p_virtsock_stream, &core);
    struct stream *stream = (struct stream *)self;

    if (self == NULL)
        return NULL;
    stream->core = core;
    virtsock_stream_get(core, VIRTSOCK_ITEM_TYPE, &kind, NULL);
    stream->messages = kind != VIRTSOCK_TYPE_STREAM;
    return self;
}

static PyObject *count_of(size_t done)
{
    return PyLong_FromSsize_t((Py_ssize_t)done);
}

/* What a receive gives: a status that is no failure. */
static bool is_received(virtsock_status status)
{
    return status == VIRTSOCK_OK || status == VIRTSOCK_E_EOF;
}

static bool send_bytes(enum transfer what, PyObject *self, PyObject *data, size_t *done)
{
    struct stream *s = (struct stream *)self;
    virtsock_status status;
    virtsock_error err;
    Py_buffer view = { .obj = NULL };

    if (Py_TYPE(data) == &PyBytes_Type) {           /* as often: nobody changes it, and the caller holds it */
        view.buf = PyBytes_AsString(data);
        view.len = PyBytes_Size(data);
    } else if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
        return false;
    status = transfer(what, view.len <= QUICK && !s->messages, s->core, view.buf, (size_t)view.len, done, s->timed.timeout_ms, &err);
    PyBuffer_Release(&view);
    if (status != VIRTSOCK_OK)
        raise_error(status, &err, *done);
    return status == VIRTSOCK_OK;
}

PyDoc_STRVAR(send_doc, "send($self, data, /)\n--\n\n"
             "Waits for room and sends some of the bytes, at least one; returns how many. A whole message on seqpacket.\n\n"
             "`TimeoutError`, or `BlockingIOError` where the timeout is 0; `ConnectionResetError`, which is a `BrokenPipeError` too.");
static PyObject *stream_send(PyObject *self, PyObject *data)
{
    size_t done;

    return send_bytes(SEND, self, data, &done) ? count_of(done) : NULL;
}

PyDoc_STRVAR(sendall_doc, "sendall($self, data, /)\n--\n\n"
             "As `send`, but all bytes; the timeout is for all of them. A failure says in `done` how many went.");
static PyObject *stream_sendall(PyObject *self, PyObject *data)
{
    size_t done;

    if (!send_bytes(SEND_ALL, self, data, &done))
        return NULL;
    Py_RETURN_NONE;
}

#define AT_ONCE_NS 3000                 /* that a receive of little takes without a wait, and each byte 1 ns: more than memory takes */

/* With data ready it keeps the GIL: that is tried. Where the last one had to wait, this one is taken to have to as well, and is not. */
static virtsock_status receive(struct stream *s, void *bytes, int64_t size, size_t *done, virtsock_error *err)
{
    const int       timeout_ms = s->timed.timeout_ms;
    virtsock_status status;
    int64_t         begun, took;
    struct wait     w;

    if (size <= QUICK && (timeout_ms == 0 || !s->waits)) {
        status = virtsock_stream_recv(s->core, bytes, (size_t)size, done, 0, err);
        if (status != VIRTSOCK_E_AGAIN || timeout_ms == 0)
            return status;
    }
    w = wait_begin(timeout_ms);
    do {
        begun = now_ns();
        status = virtsock_stream_recv(s->core, bytes, (size_t)size, done, w.left, err);
        took = now_ns() - begun;
    } while (wait_on(&w, status));
    s->waits = took > AT_ONCE_NS + (int64_t)*done;
    return ended(status, timeout_ms);
}

PyDoc_STRVAR(recv_doc, "recv($self, size, /)\n--\n\n"
             "Waits for up to size bytes, at least one; b\"\" at the end. One message on seqpacket, of size bytes at most.\n\n"
             "`TimeoutError`, or `BlockingIOError` where the timeout is 0; `ConnectionResetError`.");
static PyObject *stream_recv(PyObject *self, PyObject *argument)
{
    struct stream *s = (struct stream *)self;
    virtsock_status status;
    PyObject *bytes, *part;
    virtsock_error err;
    int64_t size;
    size_t done;

    if (!exact(argument, PY_SSIZE_T_MIN, PY_SSIZE_T_MAX, &size))
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "a negative size");
        return NULL;
    }
    if ((bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size)) == NULL)
        return NULL;
    status = receive(s, PyBytes_AsString(bytes), size, &done, &err);
    if (is_received(status) && done == (size_t)size)
        return bytes;
    part = is_received(status) ? PyBytes_FromStringAndSize(PyBytes_AsString(bytes), (Py_ssize_t)done) : NULL;
    Py_DECREF(bytes);
    if (!is_received(status))
        raise_error(status, &err, done);
    return part;
}

/* recv_into's: a buffer, and how much of it; the rest is left alone. */
static bool recv_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_buffer *view, int64_t *size)
{
    bool named = names != NULL && PyTuple_Size(names) == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "nbytes") == 0;

    if (count + named > 2 || count == 0 || (names != NULL && !named)) {
        PyErr_SetString(PyExc_TypeError, "recv_into wants a buffer, and perhaps nbytes");
        return false;
    }
    *size = 0;
    if ((count + named == 2 && !exact(args[1], PY_SSIZE_T_MIN, PY_SSIZE_T_MAX, size)) || !pin_writable(args[0], view))
        return false;
    if (*size < 0 || *size > view->len) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_ValueError, "nbytes is negative, or more than the buffer has");
        return false;
    }
    if (*size == 0)
        *size = view->len;
    return true;
}

PyDoc_STRVAR(recv_into_doc, "recv_into($self, buffer, /, nbytes=0)\n--\n\n"
             "As `recv`, into the first nbytes of a writable buffer (0: all of it); returns how many came, 0 at the end.");
static PyObject *stream_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct stream *s = (struct stream *)self;
    virtsock_status status;
    virtsock_error err;
    Py_buffer view;
    int64_t size;
    size_t done;

    if (!recv_arguments(args, count, names, &view, &size))
        return NULL;
    status = receive(s, view.buf, size, &done, &err);
    PyBuffer_Release(&view);
    if (is_received(status))
        return count_of(done);
    raise_error(status, &err, done);
    return NULL;
}

PyDoc_STRVAR(stream_fileno_doc, "fileno($self, /)\n--\n\nThe descriptor, which the stream keeps owning; -1 when closed, or framed.");
static PyObject *stream_fileno(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromLongLong(virtsock_stream_fd(((struct stream *)self)->core));
}

static void stream_finalize(PyObject *self)
{
    finalize(self, virtsock_stream_fd(((struct stream *)self)->core));
}

static PyMethodDef stream_methods[] = {
    { "send", stream_send, METH_O, send_doc },
    { "sendall", stream_sendall, METH_O, sendall_doc },
    { "recv", stream_recv, METH_O, recv_doc },
    { "recv_into", (PyCFunction)(void (*)(void))stream_recv_into, METH_FASTCALL | METH_KEYWORDS, recv_into_doc },
    { "fileno", stream_fileno, METH_NOARGS, stream_fileno_doc },
    { NULL, NULL, 0, NULL }
};

static PyMemberDef stream_members[] = {
    { "_io_refs", T_INT, offsetof(struct stream, files), 0, NULL },             /* the name that socket.makefile's files count with */
    { "_closing", T_BOOL, offsetof(struct stream, closing), 0, NULL },
    { NULL, 0, 0, 0, NULL }
};

static PyType_Slot stream_slots[] = {
    { Py_tp_doc, "The part of `virtsock.Stream` that is in C." },
    { Py_tp_new, (void *)stream_new },
    { Py_tp_finalize, (void *)stream_finalize },
    { Py_tp_methods, stream_methods },
    { Py_tp_members, stream_members },
    { 0, NULL }
};

/* --- Listeners ------------------------------------------------------------------------------------------------------ */

static PyObject *listener_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    void *core;
    PyObject *self = new_timed(type, args, named, SWIGTYPE_p_virtsock_listener, &core);

    if (self != NULL)
        ((struct listener *)self)->core = core;
    return self;
}

PyDoc_STRVAR(listener_fileno_doc, "fileno($self, /)\n--\n\nThe descriptor, for a poll loop; -1 when closed.");
static PyObject *listener_fileno(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromLongLong(virtsock_listener_fd(((struct listener *)self)->core));
}

static void listener_finalize(PyObject *self)
{
    finalize(self, virtsock_listener_fd(((struct listener *)self)->core));
}

static PyMethodDef listener_methods[] = {
    { "fileno", listener_fileno, METH_NOARGS, listener_fileno_doc },
    { NULL, NULL, 0, NULL }
};

static PyType_Slot listener_slots[] = {
    { Py_tp_doc, "The part of `virtsock.Listener` that is in C." },
    { Py_tp_new, (void *)listener_new },
    { Py_tp_finalize, (void *)listener_finalize },
    { Py_tp_methods, listener_methods },
    { 0, NULL }
};

/* --- The module ----------------------------------------------------------------------------------------------------- */

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)
static PyType_Spec timed_spec = { "virtsock.native.Timed", sizeof(struct timed), 0, FLAGS, timed_slots };
static PyType_Spec stream_spec = { "virtsock.native.StreamBase", sizeof(struct stream), 0, FLAGS, stream_slots };
static PyType_Spec listener_spec = { "virtsock.native.ListenerBase", sizeof(struct listener), 0, FLAGS, listener_slots };

/* A new reference; NULL: raised. */
static PyObject *add_type(PyObject *module, PyType_Spec *spec, PyObject *base)
{
    PyObject *type = PyType_FromSpecWithBases(spec, base);

    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) == 0)
        return type;
    Py_XDECREF(type);
    return NULL;
}

static int add_types(PyObject *module)
{
    PyObject *base = add_type(module, &timed_spec, NULL);
    PyObject *stream = base == NULL ? NULL : add_type(module, &stream_spec, base);
    PyObject *listener = stream == NULL ? NULL : add_type(module, &listener_spec, base);

    Py_XDECREF(base);
    Py_XDECREF(stream);
    Py_XDECREF(listener);
    return listener == NULL ? -1 : 0;
}
