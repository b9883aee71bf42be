#pragma once
#include <sqlite3.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>

/// While it lives, SQLite files that are opened lie on a disk whose reads, writes and syncs fail as told.
class FailingDisk {
 public:
  static inline std::atomic<bool> reads = false;
  static inline std::atomic<bool> writes = false;
  static inline std::atomic<bool> syncs = false;

  FailingDisk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
    vfs_.zName = "failing";
    vfs_.pAppData = real_;
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.xOpen = &FailingDisk::open;
    heal();
    if (sqlite3_vfs_register(&vfs_, 1) != SQLITE_OK) throw std::runtime_error("no failing disk");
  }
  ~FailingDisk() {
    heal();
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
  }
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  static void heal() { reads = writes = syncs = false; }

 private:
  struct File {
    sqlite3_file base;
    sqlite3_io_methods methods;
  };
  static sqlite3_file* behind(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + sizeof(File));
  }
  static int fail(int code) {
    errno = EIO;
    return code;
  }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
    auto* real = static_cast<sqlite3_vfs*>(vfs->pAppData);
    auto* own = reinterpret_cast<File*>(file);
    own->base.pMethods = nullptr;
    const int code = real->xOpen(real, name, behind(file), flags, out);
    if (code != SQLITE_OK) return code;
    own->methods = {
        3,
        [](sqlite3_file* f) { return behind(f)->pMethods->xClose(behind(f)); },
        [](sqlite3_file* f, void* bytes, int count, sqlite3_int64 offset) {
          return reads ? fail(SQLITE_IOERR_READ)
                       : behind(f)->pMethods->xRead(behind(f), bytes, count, offset);
        },
        [](sqlite3_file* f, const void* bytes, int count, sqlite3_int64 offset) {
          return writes ? fail(SQLITE_IOERR_WRITE)
                        : behind(f)->pMethods->xWrite(behind(f), bytes, count, offset);
        },
        [](sqlite3_file* f, sqlite3_int64 size) { return behind(f)->pMethods->xTruncate(behind(f), size); },
        [](sqlite3_file* f, int how) {
          return syncs ? fail(SQLITE_IOERR_FSYNC) : behind(f)->pMethods->xSync(behind(f), how);
        },
        [](sqlite3_file* f, sqlite3_int64* size) { return behind(f)->pMethods->xFileSize(behind(f), size); },
        [](sqlite3_file* f, int lock) { return behind(f)->pMethods->xLock(behind(f), lock); },
        [](sqlite3_file* f, int lock) { return behind(f)->pMethods->xUnlock(behind(f), lock); },
        [](sqlite3_file* f, int* held) { return behind(f)->pMethods->xCheckReservedLock(behind(f), held); },
        [](sqlite3_file* f, int what, void* value) {
          return behind(f)->pMethods->xFileControl(behind(f), what, value);
        },
        [](sqlite3_file* f) { return behind(f)->pMethods->xSectorSize(behind(f)); },
        [](sqlite3_file* f) { return behind(f)->pMethods->xDeviceCharacteristics(behind(f)); },
        [](sqlite3_file* f, int page, int bytes, int extend, void volatile** place) {
          return behind(f)->pMethods->xShmMap(behind(f), page, bytes, extend, place);
        },
        [](sqlite3_file* f, int offset, int count, int how) {
          return behind(f)->pMethods->xShmLock(behind(f), offset, count, how);
        },
        [](sqlite3_file* f) { behind(f)->pMethods->xShmBarrier(behind(f)); },
        [](sqlite3_file* f, int remove) { return behind(f)->pMethods->xShmUnmap(behind(f), remove); },
        [](sqlite3_file*, sqlite3_int64, int, void** page) {
          *page = nullptr;  // read by xRead
          return SQLITE_OK;
        },
        [](sqlite3_file*, sqlite3_int64, void*) { return SQLITE_OK; },
    };
    own->base.pMethods = &own->methods;
    return SQLITE_OK;
  }

  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
};
