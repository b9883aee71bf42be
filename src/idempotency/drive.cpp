#include "idempotency/trip.hpp"

#include <algorithm>
#include <new>
#include <random>
#include <vector>

namespace onceward::guard_detail {
namespace {

/// The trips that need this now, of the storage of the first of them.
std::vector<Trip*> together(std::span<Trip* const> trips, Trip::Need need) {
  std::vector<Trip*> chosen;
  for (auto* const trip : trips) {
    if (trip->need() == need && (chosen.empty() || &trip->storage() == &chosen.front()->storage()))
      chosen.push_back(trip);
    if (chosen.size() == limits::span_batches) break;
  }
  return chosen;
}

/// A storage that throws may have written; it must not end the other trips of a round, nor the thread. Of one
/// without memory the text must need none itself.
Result<CommitAnswer> commit_to(Storage& storage, std::span<const Batch> batches) {
  try {
    return storage.commit(batches);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::in_doubt, "out of memory");
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::in_doubt, std::string("the storage threw: ") + thrown.what());
  } catch (...) {
    return fail(ErrorCode::in_doubt, "the storage threw something that is no std::exception");
  }
}
Result<ReadAnswer> read_from(Storage& storage, std::span<const RecordRef> refs) {
  try {
    return storage.read(refs);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::unavailable, "out of memory");
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::unavailable, std::string("the storage threw: ") + thrown.what());
  } catch (...) {
    return fail(ErrorCode::unavailable, "the storage threw something that is no std::exception");
  }
}

void commit(std::span<Trip* const> trips) {
  std::vector<Batch> batches;
  batches.reserve(trips.size());
  for (auto* const trip : trips) batches.push_back(std::move(trip->batch()));
  auto answer = commit_to(trips.front()->storage(), batches);
  for (std::size_t i = 0; i < trips.size(); ++i) {
    trips[i]->batch() = std::move(batches[i]);
    if (answer) {
      trips[i]->committed(std::move(answer->batches[i]), answer->now);
    } else {
      trips[i]->committed(fail(answer.error()), {});
    }
  }
}

void read(std::span<Trip* const> trips) {
  std::vector<RecordRef> refs;
  refs.reserve(trips.size());
  for (const auto* const trip : trips) refs.push_back(trip->ref());
  auto answer = read_from(trips.front()->storage(), refs);
  for (std::size_t i = 0; i < trips.size(); ++i) {
    if (answer) {
      trips[i]->looked(std::move(answer->records[i]), answer->now);
    } else {
      trips[i]->looked(fail(answer.error()), {});
    }
  }
}

}  // namespace

/// Of about this length: waiters must not ask in step.
void Trip::pause_for(std::chrono::milliseconds length, SteadyTime latest) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const auto half = Duration(length).count() / 2;
  const Duration about(half + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(half + 1)));
  const auto left = std::chrono::ceil<Duration>(latest - std::chrono::steady_clock::now());
  pause_ = std::max(Duration(1), std::min(about, left));
  need_ = Need::pause;
}

std::chrono::milliseconds longer(std::chrono::milliseconds pause) noexcept {
  return std::min<std::chrono::milliseconds>(pause * 2, longest_pause);
}

void drive(Trip& trip, Pauser& pauser) {
  for (;;) {
    switch (trip.need()) {
      case Trip::Need::ended: return;
      case Trip::Need::commit: {
        auto answer = commit_to(trip.storage(), {&trip.batch(), 1});
        if (answer) {
          trip.committed(std::move(answer->batches.front()), answer->now);
        } else {
          trip.committed(fail(std::move(answer).error()), {});
        }
        break;
      }
      case Trip::Need::read: {
        const auto ref = trip.ref();
        auto answer = read_from(trip.storage(), {&ref, 1});
        if (answer) {
          trip.looked(std::move(answer->records.front()), answer->now);
        } else {
          trip.looked(fail(std::move(answer).error()), {});
        }
        break;
      }
      case Trip::Need::pause: trip.paused(pauser.pause(trip.pause())); break;
    }
  }
}

bool drive_round(std::span<Trip* const> trips) {
  bool any = false;
  for (;;) {
    const auto writes = together(trips, Trip::Need::commit);
    if (!writes.empty()) commit(writes);
    const auto reads = together(trips, Trip::Need::read);
    if (!reads.empty()) read(reads);
    if (writes.empty() && reads.empty()) return any;
    any = true;
  }
}

void drive(std::span<Trip* const> trips, Pauser& pauser) {
  for (;;) {
    drive_round(trips);
    // What is left waits or has ended: the shortest pause is everybody's.
    Duration shortest{};
    for (const auto* const trip : trips) {
      if (trip->need() != Trip::Need::pause) continue;
      shortest = shortest == Duration{} ? trip->pause() : std::min(shortest, trip->pause());
    }
    if (shortest == Duration{}) return;
    const bool stopped = pauser.pause(shortest);
    for (auto* const trip : trips) {
      if (trip->need() == Trip::Need::pause) trip->paused(stopped);
    }
  }
}

}  // namespace onceward::guard_detail
