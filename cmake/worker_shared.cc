// SPDX-License-Identifier: Apache-2.0
// Gives the shared library a translation unit; everything else comes from the static libraries.
