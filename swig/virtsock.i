/* SPDX-License-Identifier: MIT
 *
 * The module that SWIG makes for both languages: a list of includes in fixed order. The public header is parsed as it is; the other files
 * say how its types are handled, and none of them repeats it.
 */
#ifdef SWIGPYTHON
%module(package="virtsock") native
#else
%module virtsock_core
#endif

%{
#include "virtsock.h"
%}

%include "handles.i"

#ifdef SWIGPYTHON
%include "python.i"
#endif
#ifdef SWIGLUA
%include "lua.i"
#endif

%include "virtsock.h"
