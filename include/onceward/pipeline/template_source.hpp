#pragma once
#include <onceward/pipeline/templates.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

struct TemplateSourceOptions {
  std::string tenant{};                            ///< as TemplatesOptions::tenant
  Duration poll = std::chrono::milliseconds(500);  ///< between two looks of the thread; at least 1 ms
};

/// A template that could not be made live as stored. What was live before stays.
struct TemplateFault {
  std::string id, version;
  Error error;
  std::vector<Diagnostic> diagnostics{};  ///< code, line and column of every mistake of its text

  friend bool operator==(const TemplateFault& a, const TemplateFault& b) {
    return a.id == b.id && a.version == b.version && a.error == b.error;
  }
};

/// How a source stands.
struct TemplateStatus {
  std::size_t live = 0;                 ///< templates that for_key() answers
  std::uint64_t swaps = 0;              ///< how often what is live changed
  std::optional<Duration> age{};        ///< since it last saw the storage; unset: never
  std::optional<Error> storage{};       ///< why its last look failed
  std::vector<TemplateFault> faults{};  ///< at most 100
};

/// The live plans of a tenant's templates: read from the storage, compiled aside, and exchanged by one
/// pointer, so that a reader never sees half of a change. A look costs one small read while nothing has
/// changed. What cannot be read or does not compile keeps the last good version of that template alone; it is
/// looked at again at every look until it is mended. Where the active version never compiled in this process,
/// the one that was active before it is live.
///
/// It also finds the plans of runs for the catalog, whatever version they began with: from the storage where
/// this process has not seen it. Safe from any thread; storage, registry and catalog must outlive it.
class TemplateSource {
 public:
  TemplateSource(Storage& storage, const StepRegistry& registry, PlanCatalog& catalog,
                 TemplateSourceOptions options = {});
  ~TemplateSource();  ///< stops
  TemplateSource(const TemplateSource&) = delete;
  TemplateSource& operator=(const TemplateSource&) = delete;

  /// Looks once, on the caller's thread; one look at a time. Call it before the first for_key().
  /// Errors: those of the storage; what was live stays live. Faults of templates are no error of it.
  Result<void> reload();
  /// Looks again and again on a thread of its own, the first time at once; one thread for all templates.
  void start();
  void stop();

  /// The plan that a new run of this key gets: the active version, or the canary's. Equal keys get equal
  /// versions in every process that sees the same state. Where keys are unique in a partition only, name it.
  /// No I/O. Errors: not_found; unavailable before the first reload.
  [[nodiscard]] Result<Plan> for_key(std::string_view id, std::string_view key,
                                     std::string_view partition = {}) const;

  [[nodiscard]] TemplateStatus status() const;
  /// Called for every fault that was not there at the look before, on the thread of that look or of the run's
  /// worker. It must not call reload(), start() or stop().
  void on_fault(std::function<void(const TemplateFault&)> callback);

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace onceward
