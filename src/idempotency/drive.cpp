#include "idempotency/trip.hpp"

#include <algorithm>
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

void commit(std::span<Trip* const> trips) {
  std::vector<Batch> batches;
  batches.reserve(trips.size());
  for (auto* const trip : trips) batches.push_back(std::move(trip->batch()));
  auto answer = trips.front()->storage().commit(batches);
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
  auto answer = trips.front()->storage().read(refs);
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
void Trip::pause_for(std::chrono::milliseconds length) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const auto half = Duration(length).count() / 2;
  pause_ = Duration(half + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(half + 1)));
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
        auto answer = trip.storage().commit({&trip.batch(), 1});
        if (answer) {
          trip.committed(std::move(answer->batches.front()), answer->now);
        } else {
          trip.committed(fail(std::move(answer).error()), {});
        }
        break;
      }
      case Trip::Need::read: {
        const auto ref = trip.ref();
        auto answer = trip.storage().read({&ref, 1});
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
