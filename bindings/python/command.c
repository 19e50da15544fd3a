/* SPDX-License-Identifier: MIT
 *
 * virtsock._command: the command of tools/ as a Python module. setup.py compiles it with the core, and gives its `main` another name, here
 * as well.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <signal.h>
#include <stdlib.h>

int main(int argc, char **argv);

/* As a program that the shell starts finds them: Python catches SIGINT, unless it was ignored, and ignores SIGXFSZ. */
static void give_signals_back(void)
{
    if (signal(SIGINT, SIG_DFL) == SIG_IGN)
        signal(SIGINT, SIG_IGN);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_DFL);
#endif
}

/* No Python runs any more, so the GIL is kept; what exit() does at the end of a C program it does here, and nothing else is done. */
static PyObject *run(PyObject *module, PyObject *words)
{
    Py_ssize_t count = PyTuple_Size(words);
    char     **argv = PyMem_Calloc((size_t)count + 1, sizeof *argv);

    (void)module;
    if (argv == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++)
        if ((argv[i] = PyBytes_AsString(PyTuple_GetItem(words, i))) == NULL) {
            PyMem_Free(argv);
            return NULL;
        }
    give_signals_back();
    exit(main((int)count, argv));
}

static PyMethodDef functions[] = {
    { "run", run, METH_VARARGS, PyDoc_STR("The command with these words, its name first, as bytes. The process ends with it.") },
    { NULL, NULL, 0, NULL }
};

static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "_command", .m_methods = functions };

PyMODINIT_FUNC PyInit__command(void)
{
    return PyModuleDef_Init(&module);
}
