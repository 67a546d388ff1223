#define BYTES 16
#define ENGINE engine_portable
#include "engine.h"
