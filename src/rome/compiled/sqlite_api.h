/* What rows.c needs of SQLite's interface for loadable extensions, so that it compiles without SQLite's headers.

   SQLite hands an extension one array of functions, to which it only ever appends. The numbers below are places in it.
   tests/compiled compares all that is here with sqlite3ext.h, where that is installed. */

#ifndef ROME_SQLITE_API_H
#define ROME_SQLITE_API_H

#include <stddef.h>
#include <stdint.h>

enum { OK = 0, FAILED = 1, NO_MEMORY = 7, CORRUPT = 11, CONSTRAINT = 19, ROW = 100 };
enum { IS_BLOB = 4, IS_NULL = 5, UTF8 = 1, EQUALS = 2, DIRECT_ONLY = 0x80000 };

typedef struct Database Database;   /* sqlite3 */
typedef struct Statement Statement; /* sqlite3_stmt */
typedef struct Value Value;         /* sqlite3_value */
typedef struct Context Context;     /* sqlite3_context */

/* sqlite3_vtab, sqlite3_vtab_cursor, sqlite3_index_info, sqlite3_module up to the last member that is used */
typedef struct {
  const void *module;
  int references;
  char *error;
} TableBase;

typedef struct {
  TableBase *table;
} CursorBase;

typedef struct {
  int column;
  unsigned char operator, usable;
  int unused;
} Constraint;

typedef struct {
  int column;
  unsigned char descending;
} Order;

typedef struct {
  int argument;
  unsigned char omit;
} Use;

typedef struct {
  int constraint_count;
  const Constraint *constraints;
  int order_count;
  const Order *order;
  Use *uses;
  int number;
  char *text;
  int free_text, ordered;
  double cost;
  int64_t rows;
} IndexInfo;

typedef struct {
  int version;
  int (*create)(Database *, void *, int, const char *const *, TableBase **, char **);
  int (*connect)(Database *, void *, int, const char *const *, TableBase **, char **);
  int (*best_index)(TableBase *, IndexInfo *);
  int (*disconnect)(TableBase *);
  int (*destroy)(TableBase *);
  int (*open)(TableBase *, CursorBase **);
  int (*close)(CursorBase *);
  int (*filter)(CursorBase *, int, const char *, int, Value **);
  int (*next)(CursorBase *);
  int (*eof)(CursorBase *);
  int (*column)(CursorBase *, Context *, int);
  int (*rowid)(CursorBase *, int64_t *);
  void *unused[7];
} Module;

typedef void (*Destructor)(void *);
#define COPIED ((Destructor)(intptr_t)-1)

typedef void (*Routine)(void);
static const Routine *routines;

/* FUNCTION(place, its name there, our name, result, parameters, arguments) */
#define FUNCTION(place, sqlite_name, name, result, parameters, arguments) \
  static inline result name parameters { return ((result (*) parameters)routines[place]) arguments; }
#define SQLITE_FUNCTIONS                                                                                               \
  FUNCTION(5, bind_int64, bind_integer, int, (Statement * s, int n, int64_t v), (s, n, v))                             \
  FUNCTION(39, column_value, column_value, Value *, (Statement * s, int n), (s, n))                                    \
  FUNCTION(50, declare_vtab, declare_table, int, (Database * d, const char *sql), (d, sql))                            \
  FUNCTION(53, errmsg, message_of, const char *, (Database * d), (d))                                                  \
  FUNCTION(57, finalize, finalize, int, (Statement * s), (s))                                                          \
  FUNCTION(58, free, give_back, void, (void *p), (p))                                                                  \
  FUNCTION(78, result_blob, result_blob, void, (Context * c, const void *p, int n, Destructor d), (c, p, n, d))        \
  FUNCTION(79, result_double, result_double, void, (Context * c, double v), (c, v))                                    \
  FUNCTION(80, result_error, result_error, void, (Context * c, const char *text, int n), (c, text, n))                 \
  FUNCTION(83, result_int64, result_integer, void, (Context * c, int64_t v), (c, v))                                   \
  FUNCTION(84, result_null, result_null, void, (Context * c), (c))                                                     \
  FUNCTION(85, result_text, result_text, void, (Context * c, const char *p, int n, Destructor d), (c, p, n, d))        \
  FUNCTION(94, step, step, int, (Statement * s), (s))                                                                  \
  FUNCTION(102, value_blob, blob_of, const void *, (Value * v), (v))                                                   \
  FUNCTION(103, value_bytes, length_of, int, (Value * v), (v))                                                         \
  FUNCTION(109, value_text, text_of, const unsigned char *, (Value * v), (v))                                          \
  FUNCTION(113, value_type, type_of, int, (Value * v), (v))                                                            \
  FUNCTION(116, prepare_v2, prepare, int, (Database * d, const char *sql, int n, Statement **s, const char **rest),    \
           (d, sql, n, s, rest))                                                                                       \
  FUNCTION(119, create_module_v2, create_module, int,                                                                  \
           (Database * d, const char *name, const Module *m, void *data, Destructor end), (d, name, m, data, end))     \
  FUNCTION(149, context_db_handle, database_of, Database *, (Context * c), (c))                                        \
  FUNCTION(197, malloc64, get_memory, void *, (uint64_t n), (n))                                                       \
  FUNCTION(204, value_dup, copy_of, Value *, (const Value *v), (v))                                                    \
  FUNCTION(205, value_free, forget_copy, void, (Value * v), (v))

/* Its parameters are functions themselves: it does not fit the form above. */
#define CREATE_FUNCTION_PLACE 162
typedef void (*ScalarFunction)(Context *, int, Value **);
typedef int (*CreateFunction)(Database *, const char *, int, int, void *, ScalarFunction, ScalarFunction,
                              void (*)(Context *), Destructor);
#endif
