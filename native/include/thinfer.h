/* The native engine for programs without Python: opens the weight file of a bundle and classifies
 * token ids. Plain C; link with `libthinfer` and the C++ and thread libraries.
 *
 * A handle may be used by several threads at once, but is closed by one, after all calls ended.
 * Nothing here throws or ends the process; what fails returns a status, and the calling thread's
 * `thinfer_last_error` says why.
 */
#ifndef THINFER_H
#define THINFER_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define THINFER_API __attribute__((visibility("default")))
#else
#define THINFER_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct thinfer_engine thinfer_engine;

typedef enum thinfer_status {
    THINFER_OK = 0,
    THINFER_BAD_ARGUMENT = 1, /* a null pointer, or a batch with wild lengths or ids */
    THINFER_BAD_FILE = 2,     /* the weight file cannot be read, or is damaged */
    THINFER_NO_KERNELS = 3,   /* the processor lacks the instruction set that was asked for */
    THINFER_FAILED = 4        /* anything else: no memory, no threads */
} thinfer_status;

/* Opens a weight file (`model.thinfer` in a bundle), which is mapped, not read.
 *
 * threads: of one call, at least 1. isa: NULL or "" takes the fastest set of kernels that the
 * processor has; else its name. On success `*engine` is a handle to be closed; else NULL. */
THINFER_API thinfer_status thinfer_open(const char *path, size_t threads, const char *isa,
                                       thinfer_engine **engine);

/* Frees a handle; NULL is ignored. */
THINFER_API void thinfer_close(thinfer_engine *engine);

/* Classifies `sequences` texts that lie one after another.
 *
 * ids, type_ids: int64 [tokens]; type_ids may be NULL, then all are 0. offsets: int64
 * [sequences + 1], rising from 0 to `tokens`: text `i` has the tokens offsets[i] ... offsets[i + 1] - 1.
 * logits: float [sequences, thinfer_classes], written on success only. */
THINFER_API thinfer_status thinfer_run(thinfer_engine *engine, const int64_t *ids, const int64_t *type_ids,
                                      const int64_t *offsets, size_t sequences, size_t tokens, float *logits);

THINFER_API size_t thinfer_classes(const thinfer_engine *engine);   /* logits of a text */
THINFER_API size_t thinfer_positions(const thinfer_engine *engine); /* most tokens of a text */
THINFER_API size_t thinfer_vocab(const thinfer_engine *engine);     /* ids are 0 ... this - 1 */
THINFER_API const char *thinfer_isa(const thinfer_engine *engine);  /* the set of kernels that runs */

/* Why the last call of this thread failed; "" where none has. Valid until its next failure. */
THINFER_API const char *thinfer_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
