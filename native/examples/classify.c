/* Classifies token ids: one text a line, ids separated by blanks, logits a line in the same order.
 *
 *   classify bundle/engines/native/model.thinfer [threads [isa]] < ids.txt
 *
 * An id may carry its type: `17:1`. The answer's last digits are kept, so that two runs compare.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thinfer.h"

struct numbers {
    int64_t *data;
    size_t size, room;
};

static void push(struct numbers *list, int64_t value) {
    if (list->size == list->room) {
        list->room = list->room ? 2 * list->room : 1024;
        list->data = realloc(list->data, list->room * sizeof *list->data);
        if (list->data == NULL) {
            fputs("no memory\n", stderr);
            exit(1);
        }
    }
    list->data[list->size++] = value;
}

/* Reads `id` or `id:type`; gives where it ended, or NULL. */
static char *read_token(char *at, struct numbers *ids, struct numbers *types) {
    char *end;
    errno = 0;
    push(ids, strtoll(at, &end, 10));
    if (end == at || errno != 0) return NULL;
    int64_t type = 0;
    if (*end == ':') {
        at = end + 1;
        type = strtoll(at, &end, 10);
        if (end == at || errno != 0) return NULL;
    }
    push(types, type);
    return end;
}

static int read_texts(struct numbers *ids, struct numbers *types, struct numbers *offsets) {
    char *line = NULL;
    size_t room = 0;
    push(offsets, 0);
    while (getline(&line, &room, stdin) > 0) {
        char *at = line;
        while (*(at += strspn(at, " \t\r\n")) != '\0') {
            at = read_token(at, ids, types);
            if (at == NULL) {
                fprintf(stderr, "text %zu: a token is no number\n", offsets->size);
                free(line);
                return 0;
            }
        }
        push(offsets, (int64_t)ids->size);
    }
    free(line);
    return 1;
}

static void print_logits(const float *logits, size_t sequences, size_t classes) {
    for (size_t row = 0; row < sequences; ++row) {
        for (size_t at = 0; at < classes; ++at) printf("%s%.9g", at ? " " : "", logits[row * classes + at]);
        putchar('\n');
    }
}

int main(int count, char **words) {
    if (count < 2 || count > 4) {
        fprintf(stderr, "usage: %s model.thinfer [threads [isa]] < ids.txt\n", words[0]);
        return 2;
    }
    const long threads = count > 2 ? strtol(words[2], NULL, 10) : 1;
    thinfer_engine *engine = NULL;
    struct numbers ids = {0}, types = {0}, offsets = {0};
    float *logits = NULL;
    int status = 1;
    if (thinfer_open(words[1], threads > 0 ? (size_t)threads : 0, count > 3 ? words[3] : NULL, &engine) != THINFER_OK) {
        fprintf(stderr, "%s\n", thinfer_last_error());
    } else if (read_texts(&ids, &types, &offsets)) {
        const size_t sequences = offsets.size - 1, classes = thinfer_classes(engine);
        logits = calloc(sequences * classes + 1, sizeof *logits);
        fprintf(stderr, "%s\n", thinfer_isa(engine));
        if (logits == NULL) {
            fputs("no memory\n", stderr);
        } else if (thinfer_run(engine, ids.data, types.data, offsets.data, sequences, ids.size, logits) != THINFER_OK) {
            fprintf(stderr, "%s\n", thinfer_last_error());
        } else {
            print_logits(logits, sequences, classes);
            status = 0;
        }
    }
    free(logits);
    free(ids.data);
    free(types.data);
    free(offsets.data);
    thinfer_close(engine);
    return status;
}
