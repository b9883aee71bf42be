// sql FILE STATEMENT: runs one statement on a SQLite file, so that the tests need no other program for it.
#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>

#include <cstdio>

int main(int count, char** words) {
  if (count != 3) return 2;
  try {
    SQLite::Database(words[1], SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec(words[2]);
    return 0;
  } catch (const SQLite::Exception& exception) {
    std::fprintf(stderr, "sql: %s\n", exception.what());
    return 1;
  }
}
