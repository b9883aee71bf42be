#include "storage/redis/topology.hpp"

#include <fmt/format.h>

#include <array>
#include <map>

namespace onceward::redis::detail {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t slot_count = 16384;
/// Many callers see one failover at once; one of them asks.
constexpr std::chrono::milliseconds between_looks{50};

Link::Settings settings_of(const Options& options, const Address& address,
                           std::vector<std::string> greetings) {
  return {address,
          options.user,
          options.password,
          options.mode == Mode::cluster ? 0 : options.database,
          options.connect_timeout,
          options.timeout,
          std::move(greetings),
          true,
          options.mode != Mode::cluster,
          options.mode == Mode::sentinel};
}

class Single final : public Topology {
 public:
  explicit Single(Link::Settings settings) : link_(std::make_shared<Link>(std::move(settings))) {}

  Result<std::shared_ptr<Link>> link_of(Shard) override { return link_; }
  std::shared_ptr<Link> link_to(const Address&) override { return link_; }
  void moved(Shard, const Address&) override {}
  void look_again(const std::shared_ptr<Link>&) override {}
  Result<std::vector<std::shared_ptr<Link>>> masters() override { return std::vector{link_}; }

 private:
  std::shared_ptr<Link> link_;
};

/// Sentinels name the master; after a fault they are asked again.
class Sentinel final : public Topology {
 public:
  Sentinel(const Options& options, std::vector<std::string> greetings)
      : options_(options), greetings_(std::move(greetings)) {}

  Result<std::shared_ptr<Link>> link_of(Shard) override {
    const std::lock_guard lock(mutex_);
    if (!link_) {
      if (auto found = find(); !found) return fail(std::move(found).error());
    }
    return link_;
  }
  std::shared_ptr<Link> link_to(const Address& address) override {
    return std::make_shared<Link>(settings_of(options_, address, greetings_));
  }
  void moved(Shard, const Address&) override {}
  void look_again(const std::shared_ptr<Link>& link) override {
    const std::lock_guard lock(mutex_);
    if (link != link_ || SteadyClock::now() < next_look_) return;  // another caller has looked already
    next_look_ = SteadyClock::now() + between_looks;
    (void)find();  // where no sentinel answers, a connection that lives is kept
  }
  Result<std::vector<std::shared_ptr<Link>>> masters() override {
    auto link = link_of(0);
    if (!link) return fail(std::move(link).error());
    return std::vector{*std::move(link)};
  }

 private:
  Result<void> find() {
    Error last{ErrorCode::unavailable, "Redis: no sentinel is named"};
    for (const auto& sentinel : options_.addresses) {
      Link link({sentinel, {}, {}, 0, options_.connect_timeout, options_.connect_timeout, {}});
      auto named =
          ask(link, {"SENTINEL", "get-master-addr-by-name", options_.master_name}, "asking a sentinel");
      if (!named) {
        last = std::move(named).error();
        continue;
      }
      const auto parts = elements_of(**named);
      if (parts.size() != 2) {
        last = {ErrorCode::unavailable, fmt::format("Redis sentinel at {}: it knows no master \"{}\"",
                                                    to_string(sentinel), options_.master_name)};
        continue;
      }
      const Address master{std::string(text_of(*parts[0])), std::atoi(parts[1]->str), {}};
      if (!link_ || link_->spent() || !(link_->address() == master)) {
        auto settings = settings_of(options_, master, greetings_);
        if (link_) settings.lost = link_->lost();
        link_ = std::make_shared<Link>(std::move(settings));
      }
      return {};
    }
    return fail(std::move(last));
  }

  Options options_;
  std::vector<std::string> greetings_;
  std::mutex mutex_;
  std::shared_ptr<Link> link_;
  SteadyClock::time_point next_look_{};
};

/// The slot map of a cluster, learnt from any node and mended by redirections.
class Cluster final : public Topology {
 public:
  Cluster(const Options& options, std::vector<std::string> greetings)
      : options_(options), greetings_(std::move(greetings)), slots_(slot_count) {}

  Result<std::shared_ptr<Link>> link_of(Shard shard) override {
    const std::lock_guard lock(mutex_);
    const auto slot = slot_of(tag_of(shard));
    if (!slots_[slot]) {
      if (auto learnt = learn(); !learnt) return fail(std::move(learnt).error());
    }
    if (slots_[slot]) return slots_[slot];
    return fail(ErrorCode::unavailable, fmt::format("Redis Cluster: no node serves the slot {}", slot));
  }
  std::shared_ptr<Link> link_to(const Address& address) override {
    const std::lock_guard lock(mutex_);
    return known(address);
  }
  void moved(Shard shard, const Address& address) override {
    const std::lock_guard lock(mutex_);
    slots_[slot_of(tag_of(shard))] = known(address);
    // A failover moves many slots: the others are learnt at once, not one refusal at a time.
    if (SteadyClock::now() >= next_look_) (void)learn();
  }
  void look_again(const std::shared_ptr<Link>&) override {
    const std::lock_guard lock(mutex_);
    if (SteadyClock::now() >= next_look_) (void)learn();  // where no node answers, the map known is kept
  }
  Result<std::vector<std::shared_ptr<Link>>> masters() override {
    const std::lock_guard lock(mutex_);
    if (auto learnt = learn(); !learnt) return fail(std::move(learnt).error());
    std::vector<std::shared_ptr<Link>> all;
    for (const auto& link : slots_) {
      if (link && std::find(all.begin(), all.end(), link) == all.end()) all.push_back(link);
    }
    return all;
  }

 private:
  std::shared_ptr<Link> known(const Address& address) {
    auto& link = links_[to_string(address)];
    if (!link) link = std::make_shared<Link>(settings_of(options_, address, greetings_));
    return link;
  }

  Result<void> learn() {
    next_look_ = SteadyClock::now() + between_looks;
    std::vector<Address> candidates;
    for (const auto& [name, link] : links_) candidates.push_back(link->address());
    candidates.insert(candidates.end(), options_.addresses.begin(), options_.addresses.end());
    Error last{ErrorCode::unavailable, "Redis Cluster: no node is named"};
    for (const auto& address : candidates) {
      // A connection of its own, and a short limit: a node that hangs must not hold up what another knows.
      Link link({address,
                 options_.user,
                 options_.password,
                 0,
                 options_.connect_timeout,
                 options_.connect_timeout,
                 {}});
      auto map = ask(link, {"CLUSTER", "SLOTS"}, "asking for the slots");
      if (!map) {
        last = std::move(map).error();
        continue;
      }
      if (take(**map, address)) return {};
      last = {ErrorCode::unavailable,
              fmt::format("Redis Cluster: the node {} knows no slots; is it part of a cluster?",
                          to_string(address))};
    }
    return fail(std::move(last));
  }

  /// CLUSTER SLOTS: [first, last, [host, port, id, ...] of the master, replicas...] for each range.
  bool take(const redisReply& map, const Address& asked) {
    bool any = false;
    for (const auto* range : elements_of(map)) {
      const auto parts = elements_of(*range);
      if (parts.size() < 3 || !is_integer(*parts[0]) || !is_integer(*parts[1])) continue;
      const auto master = elements_of(*parts[2]);
      if (master.size() < 2 || !is_integer(*master[1])) continue;
      std::string host(text_of(*master[0]));
      if (host.empty() || host == "?") host = asked.host;
      const auto link = known({std::move(host), static_cast<int>(master[1]->integer), {}});
      const auto last = std::min<long long>(parts[1]->integer, slot_count - 1);
      for (auto slot = std::max<long long>(0, parts[0]->integer); slot <= last; ++slot) {
        slots_[static_cast<std::size_t>(slot)] = link;
        any = true;
      }
    }
    return any;
  }

  Options options_;
  std::vector<std::string> greetings_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Link>> links_;
  std::vector<std::shared_ptr<Link>> slots_;
  SteadyClock::time_point next_look_{};
};

constexpr std::array<std::uint16_t, 256> crc16_table() {
  std::array<std::uint16_t, 256> table{};
  for (unsigned i = 0; i < table.size(); ++i) {
    unsigned crc = i << 8U;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1U) ^ 0x1021U : crc << 1U;
    table[i] = static_cast<std::uint16_t>(crc);
  }
  return table;
}

}  // namespace

std::uint16_t slot_of(std::string_view tag) noexcept {
  static constexpr auto table = crc16_table();
  unsigned crc = 0;
  for (const char c : tag) {
    crc = ((crc << 8U) ^ table[((crc >> 8U) ^ static_cast<unsigned char>(c)) & 0xFFU]) & 0xFFFFU;
  }
  return static_cast<std::uint16_t>(crc % slot_count);
}

std::string tag_of(Shard shard) { return std::to_string(shard); }

Result<std::unique_ptr<Topology>> make_topology(const Options& options, std::vector<std::string> greetings) {
  if (options.addresses.empty()) return fail(ErrorCode::invalid_argument, "Redis: no address is given");
  switch (options.mode) {
    case Mode::single:
      return std::unique_ptr<Topology>(
          std::make_unique<Single>(settings_of(options, options.addresses.front(), std::move(greetings))));
    case Mode::sentinel:
      if (options.master_name.empty()) {
        return fail(ErrorCode::invalid_argument, "Redis: sentinels need the name of the master to ask for");
      }
      return std::unique_ptr<Topology>(std::make_unique<Sentinel>(options, std::move(greetings)));
    case Mode::cluster:
      return std::unique_ptr<Topology>(std::make_unique<Cluster>(options, std::move(greetings)));
  }
  return fail(ErrorCode::invalid_argument, "Redis: an unknown mode");
}

}  // namespace onceward::redis::detail
