# SPDX-License-Identifier: Apache-2.0
#
# Run at every build: cmake -DSOURCE_DIR=... -DOUTPUT=git_id.h -P git_id.cmake
# Writes WEIR_GIT_ID into OUTPUT, and leaves the file alone when nothing changed, so that nothing is rebuilt.

execute_process(
  COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
  OUTPUT_VARIABLE id OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT id)
  set(id unknown)
endif()

set(text "#define WEIR_GIT_ID \"${id}\"\n")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT text STREQUAL old)
  file(WRITE ${OUTPUT} "${text}")
endif()
