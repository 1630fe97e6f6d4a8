/* Stored rows as tables of SQLite: it decodes records in place, and only the columns that it is asked for.

   A record is a msgpack array [layout, rowid, value, ..], as rome/codec/rows.py describes it. What that module refuses
   is refused here, too; the caller then has Python find the record, and say which it is.

     rome_rows_define(name, shape)  makes a table-valued function name(block), for the records of one table. Without an
         argument it reads the blocks that the SQL function rome_rows_block(source, 0), (source, 1), .. returns until
         it returns NULL. So does a virtual table that is made with it.

   Shape: msgpack [CREATE TABLE text, position of the rowid's alias or -1, bytes before each record, source, 1 if its blocks
   are in the order of rowids, columns, the value of each column that a record has not got, layouts, and of each layout:
   number, values, position of each or -1].
   Block: count, length of each stored value, the stored values; numbers are of 32 bits, in the machine's order. */

#include "sqlite_api.h"

#include <limits.h>
#include <string.h>

SQLITE_FUNCTIONS

typedef const uint8_t *Bytes;

/* ------------------------------------------------------------ msgpack */

static uint64_t big_endian(Bytes p, int n) {
  uint64_t number = 0;
  while (n--) number = number << 8 | *p++;
  return number;
}

static int is_utf8(Bytes p, Bytes end) {
  for (;;) {
    uint64_t eight;
    while (end - p >= 8 && (memcpy(&eight, p, 8), !(eight & UINT64_C(0x8080808080808080)))) p += 8;
    while (p < end && *p < 0x80) p++;
    if (p == end) return 1;
    int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
    if (*p < 0xc2 || *p > 0xf4 || end - p <= more) return 0;
    /* The second byte: no number in more bytes than it needs, no surrogate, nothing beyond 0x10ffff. */
    uint8_t least = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80, greatest = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < least || p[1] > greatest) return 0;
    for (int n = 2; n <= more; n++)
      if ((p[n] & 0xc0) != 0x80) return 0;
    p += more + 1;
  }
}

/* Where a text or blob begins, and how long it is; NULL if there is none here, or not all of it. */
static Bytes contents_of(Bytes p, Bytes end, uint64_t *length, int *is_text) {
  static const uint8_t sizes[] = {1, 2, 4};
  uint8_t code = *p++;
  *is_text = 1;
  if ((code & 0xe0) == 0xa0) {
    *length = code & 31;
  } else {
    if (code >= 0xd9 && code <= 0xdb) {
      code -= 0xd9;
    } else if (code >= 0xc4 && code <= 0xc6) {
      *is_text = 0;
      code -= 0xc4;
    } else {
      return NULL;
    }
    int size = sizes[code];
    if (end - p < size) return NULL;
    *length = big_endian(p, size);
    p += size;
  }
  return *length <= (uint64_t)(end - p) && *length <= INT_MAX ? p : NULL;
}

/* Bytes after the code of a number or nil; -1 for anything else. */
static int size_of_plain(uint8_t code) {
  if (code <= 0x7f || code >= 0xe0 || code == 0xc0) return 0;
  switch (code) {
    case 0xcc: case 0xd0: return 1;
    case 0xcd: case 0xd1: return 2;
    case 0xce: case 0xd2: case 0xca: return 4;
    case 0xcf: case 0xd3: case 0xcb: return 8;
    default: return -1;
  }
}

/* The end of a value of a type that is stored; NULL if there is none. */
static Bytes after_value(Bytes p, Bytes end) {
  if (p >= end) return NULL;
  int size = size_of_plain(*p);
  if (size >= 0) {
    if (end - p <= size || (*p == 0xcf && p[1] > 0x7f)) return NULL;
    return p + 1 + size;
  }
  uint64_t length;
  int is_text;
  Bytes start = contents_of(p, end, &length, &is_text);
  if (start == NULL || (is_text && !is_utf8(start, start + length))) return NULL;
  return start + length;
}

/* The integer at a value that after_value has passed; 0 if it is none. */
static int integer_at(Bytes p, int64_t *number) {
  uint8_t code = *p;
  int size = size_of_plain(code);
  if (code <= 0x7f || code >= 0xe0) {
    *number = (int8_t)code;
  } else if (size <= 0 || code == 0xca || code == 0xcb) {
    return 0;
  } else {
    uint64_t bits = big_endian(p + 1, size);
    if (code >= 0xd0 && size < 8 && bits >> (8 * size - 1)) bits |= ~UINT64_C(0) << 8 * size;
    memcpy(number, &bits, 8);
  }
  return 1;
}

static void show(Context *context, Bytes p, Bytes end) {
  int64_t number;
  if (integer_at(p, &number)) {
    result_integer(context, number);
  } else if (*p == 0xcb) {
    uint64_t bits = big_endian(p + 1, 8);
    double real;
    memcpy(&real, &bits, 8);
    result_double(context, real);
  } else if (*p == 0xca) {
    uint32_t bits = (uint32_t)big_endian(p + 1, 4);
    float real;
    memcpy(&real, &bits, 4);
    result_double(context, real);
  } else if (*p == 0xc0) {
    result_null(context);
  } else {
    uint64_t length;
    int is_text;
    Bytes start = contents_of(p, end, &length, &is_text);
    if (is_text)
      result_text(context, (const char *)start, (int)length, COPIED);
    else
      result_blob(context, start, (int)length, COPIED);
  }
}

/* How many values an array has, and where the first is; NULL if there is none. */
static Bytes array_at(Bytes p, Bytes end, uint32_t *count) {
  if (p >= end) return NULL;
  if ((*p & 0xf0) == 0x90) {
    *count = *p & 15;
    return p + 1;
  }
  int size = *p == 0xdc ? 2 : *p == 0xdd ? 4 : 0;
  if (size == 0 || end - p <= size) return NULL;
  *count = (uint32_t)big_endian(p + 1, size);
  return p + 1 + size;
}

/* ------------------------------------------------------------ the shape of a table's records */

typedef struct {
  int64_t number;
  int count;
  int *positions;
} Layout;

typedef struct {
  int columns, alias, layout_count;
  uint32_t before; /* bytes before a record */
  int64_t source;
  int is_ordered;
  char *sql;
  Bytes *blank, end; /* the value of each column that a record has not got; where the last ends */
  Layout *layouts;
} Shape;

/* Memory for a part of a shape; `room` is of what begins at `*free`. */
static void *part(uint8_t **free, uint64_t bytes) {
  void *found = *free;
  *free += (bytes + 7) & ~UINT64_C(7);
  return found;
}

static int take(Bytes *p, Bytes end, int64_t least, int64_t greatest, int64_t *number) {
  Bytes next = after_value(*p, end);
  if (next == NULL || !integer_at(*p, number) || *number < least || *number > greatest) return 0;
  *p = next;
  return 1;
}

static Shape *read_shape(Bytes given, int length) {
  /* No number of a shape takes less than a byte, so that there are at most as many as there are bytes. */
  uint64_t each = sizeof(Layout) + sizeof(Bytes) + sizeof(int) + 24;
  uint8_t *free = get_memory(sizeof(Shape) + 8 + (uint64_t)length * (each + 2));
  if (free == NULL) return NULL;
  Shape *shape = part(&free, sizeof(Shape));
  uint8_t *copy = part(&free, (uint64_t)length);
  if (length) memcpy(copy, given, (size_t)length);
  Bytes p = copy, end = copy + length, next;
  uint32_t values;
  uint64_t bytes;
  int is_text;
  int64_t number;
  p = array_at(p, end, &values);
  if (p == NULL || (next = after_value(p, end)) == NULL) goto wrong;
  Bytes text = contents_of(p, end, &bytes, &is_text);
  if (text == NULL) goto wrong;
  shape->sql = part(&free, bytes + 1);
  memcpy(shape->sql, text, bytes);
  shape->sql[bytes] = 0;
  p = next;
  if (!take(&p, end, -1, length, &number)) goto wrong;
  shape->alias = (int)number;
  if (!take(&p, end, 0, 64, &number)) goto wrong;
  shape->before = (uint32_t)number;
  if (!take(&p, end, 0, INT64_MAX, &shape->source)) goto wrong;
  if (!take(&p, end, 0, 1, &number)) goto wrong;
  shape->is_ordered = (int)number;
  if (!take(&p, end, 1, length, &number)) goto wrong;
  shape->columns = (int)number;
  if (shape->alias >= shape->columns) goto wrong;
  shape->blank = part(&free, (uint64_t)shape->columns * sizeof(Bytes));
  for (int n = 0; n < shape->columns; n++) {
    shape->blank[n] = p;
    if ((p = after_value(p, end)) == NULL) goto wrong;
  }
  shape->end = p;
  if (!take(&p, end, 0, length, &number)) goto wrong;
  shape->layout_count = (int)number;
  shape->layouts = part(&free, (uint64_t)shape->layout_count * sizeof(Layout));
  for (int n = 0; n < shape->layout_count; n++) {
    Layout *layout = &shape->layouts[n];
    if (!take(&p, end, INT64_MIN, INT64_MAX, &layout->number)) goto wrong;
    if (!take(&p, end, 0, end - p, &number)) goto wrong;
    layout->count = (int)number;
    layout->positions = part(&free, (uint64_t)layout->count * sizeof(int));
    for (int i = 0; i < layout->count; i++) {
      if (!take(&p, end, -1, shape->columns - 1, &number)) goto wrong;
      layout->positions[i] = (int)number;
    }
  }
  if (p == end) return shape;
wrong:
  give_back(shape);
  return NULL;
}

static void define(Context *context, int count, Value **arguments) {
  (void)count;
  const char *name = (const char *)text_of(arguments[0]);
  Shape *shape = name == NULL ? NULL : read_shape(blob_of(arguments[1]), length_of(arguments[1]));
  extern const Module rome_rows_module;
  if (shape == NULL)
    result_error(context, "not the shape of a table's records", -1);
  else if (create_module(database_of(context), name, &rome_rows_module, shape, give_back) != OK)
    result_error(context, "the module cannot be made", -1); /* and SQLite has given the shape back */
}

/* ------------------------------------------------------------ the virtual table */

typedef struct {
  TableBase base;
  Database *database;
  const Shape *shape;
} Table;

typedef struct {
  CursorBase base;
  const Shape *shape;
  Value *block;
  int has_argument;  /* which is the only block */
  Statement *blocks; /* asks for the next block */
  int64_t blocks_read;
  Bytes lengths, record, end; /* of the block: the next length, the next stored value; where the present record ends */
  uint32_t left;
  int at_end;
  int64_t rowid;
  const Layout *layout; /* of the record before, as most have the same */
  Bytes *at; /* where each column's value is; NULL: it is the rowid */
} Cursor;

static int fail(Cursor *cursor, const char *text) {
  TableBase *table = cursor->base.table;
  static const char prefix[] = "rome_rows: "; /* by which the caller knows what is wrong with rows */
  char *copy = get_memory(sizeof(prefix) + strlen(text));
  if (copy == NULL) return NO_MEMORY;
  strcpy(copy, prefix);
  strcat(copy, text);
  give_back(table->error);
  table->error = copy;
  return FAILED;
}

static int connect(Database *database, void *data, int count, const char *const *arguments, TableBase **made,
                   char **error) {
  (void)error;
  (void)count;
  (void)arguments;
  const Shape *shape = data;
  int result = declare_table(database, shape->sql);
  if (result != OK) return result;
  Table *table = get_memory(sizeof(Table));
  if (table == NULL) return NO_MEMORY;
  memset(table, 0, sizeof(Table));
  table->database = database;
  table->shape = shape;
  *made = &table->base;
  return OK;
}

static int disconnect(TableBase *table) {
  give_back(table);
  return OK;
}

static int best_index(TableBase *base, IndexInfo *info) {
  const Table *table = (const Table *)base;
  info->cost = 3e6; /* as SQLite takes the pass over a table of its own of which it knows nothing */
  info->rows = 1048576;
  info->number = 0;
  if (table->shape->is_ordered && info->order_count == 1 && !info->order->descending)
    info->ordered = info->order->column == -1 || info->order->column == table->shape->alias;
  for (int n = 0; n < info->constraint_count; n++) {
    const Constraint *each = &info->constraints[n];
    if (each->column == table->shape->columns && each->operator == EQUALS) {
      if (!each->usable) return CONSTRAINT; /* the argument is in another loop, which must come first */
      info->uses[n].argument = info->uses[n].omit = 1;
      info->number = 1;
      return OK;
    }
  }
  return OK;
}

static int open_cursor(TableBase *base, CursorBase **made) {
  const Shape *shape = ((Table *)base)->shape;
  Cursor *cursor = get_memory(sizeof(Cursor) + (uint64_t)shape->columns * sizeof(Bytes));
  if (cursor == NULL) return NO_MEMORY;
  memset(cursor, 0, sizeof(Cursor));
  cursor->shape = shape;
  cursor->at = (Bytes *)(cursor + 1);
  cursor->at_end = 1;
  *made = &cursor->base;
  return OK;
}

static void forget(Cursor *cursor) {
  forget_copy(cursor->block);
  finalize(cursor->blocks);
  cursor->block = NULL;
  cursor->blocks = NULL;
  cursor->left = 0;
}

static int close_cursor(CursorBase *base) {
  forget((Cursor *)base);
  give_back(base);
  return OK;
}

/* Begin a block, which `value` has. */
static int begin_block(Cursor *cursor, const Value *value) {
  forget_copy(cursor->block);
  if ((cursor->block = copy_of(value)) == NULL) return NO_MEMORY;
  Bytes start = blob_of(cursor->block);
  uint64_t room = (uint64_t)length_of(cursor->block);
  uint32_t count, length;
  if (start == NULL || room < 4) return fail(cursor, "not a block of stored rows");
  memcpy(&count, start, 4);
  room -= 4;
  if (room / 4 < count) return fail(cursor, "a block of stored rows ends in its lengths");
  room -= (uint64_t)count * 4;
  cursor->lengths = start + 4;
  cursor->record = start + 4 + (uint64_t)count * 4;
  cursor->left = count;
  for (uint32_t n = 0; n < count; n++) {
    memcpy(&length, cursor->lengths + (uint64_t)n * 4, 4);
    if (length > room) return fail(cursor, "a block of stored rows is too short");
    room -= length;
  }
  return room ? fail(cursor, "a block of stored rows is too long") : OK;
}

/* Ask for the next block; without one the cursor is at its end. A block may be empty. */
static int next_block(Cursor *cursor) {
  Database *database = ((Table *)cursor->base.table)->database;
  finalize(cursor->blocks);
  cursor->blocks = NULL;
  if (prepare(database, "SELECT rome_rows_block(?, ?)", -1, &cursor->blocks, NULL) != OK)
    return fail(cursor, message_of(database));
  bind_integer(cursor->blocks, 1, cursor->shape->source);
  bind_integer(cursor->blocks, 2, cursor->blocks_read++);
  if (step(cursor->blocks) != ROW) return fail(cursor, message_of(database));
  Value *value = column_value(cursor->blocks, 0);
  if (type_of(value) == IS_NULL) {
    cursor->at_end = 1;
    return OK;
  }
  return begin_block(cursor, value);
}

static int next(CursorBase *base) {
  Cursor *cursor = (Cursor *)base;
  const Shape *shape = cursor->shape;
  while (cursor->left == 0) {
    if (cursor->has_argument) {
      cursor->at_end = 1;
      return OK;
    }
    int result = next_block(cursor);
    if (result != OK || cursor->at_end) return result;
  }
  uint32_t length, count;
  int64_t number;
  memcpy(&length, cursor->lengths, 4);
  cursor->lengths += 4;
  cursor->left--;
  Bytes p = cursor->record, end = p + length, next;
  cursor->record = end;
  if (length < shape->before || (p = array_at(p + shape->before, end, &count)) == NULL || count < 2)
    return fail(cursor, "not a record");
  if ((next = after_value(p, end)) == NULL || !integer_at(p, &number)) return fail(cursor, "not a record");
  p = next;
  if ((next = after_value(p, end)) == NULL || !integer_at(p, &cursor->rowid)) return fail(cursor, "not a record");
  p = next;
  const Layout *layout = cursor->layout;
  if (layout == NULL || layout->number != number) {
    layout = NULL;
    for (int n = 0; n < shape->layout_count; n++)
      if (shape->layouts[n].number == number) layout = &shape->layouts[n];
    if (layout == NULL) return fail(cursor, "a record of an unknown layout");
  }
  cursor->layout = layout;
  if ((uint32_t)layout->count != count - 2) return fail(cursor, "a record that does not fit its layout");
  memcpy(cursor->at, shape->blank, (size_t)shape->columns * sizeof(Bytes));
  for (int n = 0; n < layout->count; n++) {
    int position = layout->positions[n];
    if ((next = after_value(p, end)) == NULL) return fail(cursor, "not a record");
    if (position >= 0) cursor->at[position] = p;
    p = next;
  }
  if (p != end) return fail(cursor, "not a record");
  cursor->end = end;
  if (shape->alias >= 0) cursor->at[shape->alias] = NULL;
  return OK;
}

static int filter(CursorBase *base, int number, const char *text, int count, Value **arguments) {
  (void)text;
  Cursor *cursor = (Cursor *)base;
  forget(cursor);
  cursor->blocks_read = 0;
  cursor->at_end = 0;
  cursor->has_argument = number == 1 && count == 1;
  if (cursor->has_argument) {
    int result = begin_block(cursor, arguments[0]);
    if (result != OK) return result;
  }
  return next(base);
}

static int at_end(CursorBase *base) { return ((Cursor *)base)->at_end; }

static int column(CursorBase *base, Context *context, int number) {
  Cursor *cursor = (Cursor *)base;
  if (number >= cursor->shape->columns)
    result_null(context);
  else if (cursor->at[number] == NULL)
    result_integer(context, cursor->rowid);
  else if (cursor->at[number] == cursor->shape->blank[number])
    show(context, cursor->at[number], cursor->shape->end);
  else
    show(context, cursor->at[number], cursor->end);
  return OK;
}

static int rowid(CursorBase *base, int64_t *found) {
  *found = ((Cursor *)base)->rowid;
  return OK;
}

const Module rome_rows_module = {0,           connect,      connect, best_index, disconnect, disconnect, open_cursor,
                                 close_cursor, filter,      next,    at_end,     column,     rowid,      {0}};

/* The number is that of what Python and this library tell each other: it rises when a shape or a block changes. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int rome_rows_init_1(Database *database, char **error, const Routine *given) {
  (void)error;
  routines = given;
  CreateFunction create = (CreateFunction)given[CREATE_FUNCTION_PLACE];
  return create(database, "rome_rows_define", 2, UTF8 | DIRECT_ONLY, NULL, define, NULL, NULL, NULL);
}
