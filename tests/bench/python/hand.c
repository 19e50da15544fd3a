/* SPDX-License-Identifier: MIT
 *
 * What a method written by hand costs that takes a buffer and gives the GIL up: the measure for methods that do no I/O.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

static PyObject *op(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer view;
    Py_ssize_t size;

    (void)self;
    if (count != 1 || PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) != 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    size = view.len;
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return PyLong_FromSsize_t(size);
}

static PyMethodDef methods[] = { { "op", (PyCFunction)(void (*)(void))op, METH_FASTCALL, NULL }, { NULL, NULL, 0, NULL } };
static PyType_Slot slots[] = { { Py_tp_methods, methods }, { 0, NULL } };
static PyType_Spec spec = { "hand.Hand", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots };
static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "hand", .m_size = -1 };

PyMODINIT_FUNC PyInit_hand(void)
{
    PyObject *made = PyModule_Create(&module), *type = PyType_FromSpec(&spec);

    if (made == NULL || type == NULL || PyModule_AddType(made, (PyTypeObject *)type) != 0)
        return NULL;
    return made;
}
