/* What this machine could do if formatting were free of everything but copying: no rule is checked. */

#include <stdint.h>
#include <string.h>

static char *put(char *out, const char *text, int64_t length) {
    memcpy(out, text, length);
    return out + length;
}

/* ID, tab, and d_sid= before each of the traits, which stand behind commas. */
int64_t traits_lines(int64_t rows, const int32_t *id_ends, const char *ids,
                     const int32_t *trait_ends, const char *traits, char *out) {
    char *begin = out;
    for (int64_t row = 0; row < rows; row++) {
        out = put(out, ids + id_ends[row], id_ends[row + 1] - id_ends[row]);
        *out++ = '\t';
        const char *item = traits + trait_ends[row], *end = traits + trait_ends[row + 1];
        while (item < end) {
            const char *comma = memchr(item, ',', end - item);
            const char *behind = comma ? comma + 1 : end;
            out = put(out, "d_sid=", 6);
            out = put(out, item, behind - item);
            item = behind;
        }
        *out++ = '\n';
    }
    return out - begin;
}

/* ID, tab, and "KEY"="VALUE" of each column that has a value; a prefix is all up to the value. */
int64_t attrs_lines(int64_t rows, const int32_t *id_ends, const char *ids, int64_t columns,
                    const int32_t **ends, const char **values, const char **prefixes,
                    const int64_t *prefix_lengths, char *out) {
    char *begin = out;
    for (int64_t row = 0; row < rows; row++) {
        out = put(out, ids + id_ends[row], id_ends[row + 1] - id_ends[row]);
        char *separator = out++;
        for (int64_t column = 0; column < columns; column++) {
            int32_t start = ends[column][row], length = ends[column][row + 1] - start;
            if (length == 0) continue;
            out = put(out, prefixes[column], prefix_lengths[column]);
            out = put(out, values[column] + start, length);
            *out++ = '"';
            *out++ = ',';
        }
        *separator = '\t';
        out[-1] = '\n';
    }
    return out - begin;
}
