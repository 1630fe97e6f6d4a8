/* A trip over a socket in one call: what `rome.store.redis.channel` does in Python, where the request and the reply are
   a call of the socket each, and after each the thread may have to wait for the interpreter, up to 5 ms.

   The socket is one that waits in the system, which ends a wait that is too long with EAGAIN (SO_RCVTIMEO, SO_SNDTIMEO).
   After a signal that Python handles the wait begins anew, as that of Python's own socket does. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

#define BUFFER_BYTES (64 * 1024)

typedef struct {
  PyObject_HEAD
  volatile int descriptor; /* -1 as soon as it is being closed, which another thread may do during a wait */
  volatile char has_sent;
  char *buffer;
} Channel;

/* Send what is left of the request, then wait for bytes. Needs no GIL. -1: errno says why; after EINTR it goes on. */
static ssize_t make_trip(Channel *self, const char **request, Py_ssize_t *left) {
  while (*left) {
    ssize_t sent = send(self->descriptor, *request, (size_t)*left, MSG_NOSIGNAL);
    if (sent < 0) return -1;
    *request += sent;
    *left -= sent;
  }
  self->has_sent = 1;
  return recv(self->descriptor, self->buffer, BUFFER_BYTES, 0);
}

static PyObject *received(Channel *self, const char *request, Py_ssize_t left) {
  for (;;) {
    PyThreadState *state = PyEval_SaveThread();
    ssize_t length = make_trip(self, &request, &left);
    int error = errno;
    PyEval_RestoreThread(state);
    if (length >= 0) return PyBytes_FromStringAndSize(self->buffer, length);
    if (error != EINTR) {
      errno = error;
      return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (PyErr_CheckSignals()) return NULL;
  }
}

static PyObject *exchange(PyObject *self, PyObject *request) {
  char *bytes;
  Py_ssize_t length;
  ((Channel *)self)->has_sent = 0;
  if (PyBytes_AsStringAndSize(request, &bytes, &length)) return NULL;
  return received((Channel *)self, bytes, length);
}

static PyObject *receive(PyObject *self, PyObject *nothing) {
  (void)nothing;
  return received((Channel *)self, NULL, 0);
}

/* It does not wait, so it keeps the GIL. */
static PyObject *is_quiet(PyObject *self, PyObject *nothing) {
  (void)nothing;
  char byte;
  ssize_t length = recv(((Channel *)self)->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return PyBool_FromLong(length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

static PyObject *forget(PyObject *self, PyObject *nothing) {
  (void)nothing;
  ((Channel *)self)->descriptor = -1;
  Py_RETURN_NONE;
}

static PyObject *make(PyTypeObject *type, PyObject *arguments, PyObject *named) {
  (void)named;
  int descriptor;
  if (!PyArg_ParseTuple(arguments, "i", &descriptor)) return NULL;
  Channel *self = (Channel *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
  if (self == NULL) return NULL;
  self->descriptor = descriptor;
  self->buffer = PyMem_Malloc(BUFFER_BYTES);
  if (self->buffer == NULL) {
    Py_DECREF((PyObject *)self);
    return PyErr_NoMemory();
  }
  return (PyObject *)self;
}

static void destroy(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  PyMem_Free(((Channel *)self)->buffer);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF((PyObject *)type);
}

static PyMethodDef methods[] = {
    {"exchange", exchange, METH_O, NULL},
    {"receive", receive, METH_NOARGS, NULL},
    {"is_quiet", is_quiet, METH_NOARGS, NULL},
    {"forget", forget, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"has_sent", T_BOOL, offsetof(Channel, has_sent), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, make}, {Py_tp_dealloc, destroy}, {Py_tp_methods, methods}, {Py_tp_members, members}, {0, NULL},
};

static PyType_Spec spec = {"rome.compiled.channel.Channel", sizeof(Channel), 0, Py_TPFLAGS_DEFAULT, slots};

/* The number is that of what Python and this library tell each other: it rises when that changes. */
static int add_type(PyObject *module) {
  PyObject *type = PyType_FromSpec(&spec);
  if (type == NULL) return -1;
  int failed = PyModule_AddObjectRef(module, "Channel_1", type);
  Py_DECREF(type);
  return failed;
}

static PyModuleDef_Slot steps[] = {{Py_mod_exec, add_type}, {0, NULL}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "channel", NULL, 0, NULL, steps, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_channel(void) { return PyModuleDef_Init(&definition); }
