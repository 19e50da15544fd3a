/* SPDX-License-Identifier: MIT
 *
 * The table of rows.h, as data.
 */
#include "rows.h"
#include "suite.h"

#define MAKE_ROW(name, needs, shows) { #name, name, needs, shows },

const struct behaviour behaviours[] = { ROWS(MAKE_ROW) };
const int              behaviour_count = sizeof behaviours / sizeof behaviours[0];
