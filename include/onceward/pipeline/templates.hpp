#pragma once
#include <onceward/journal/journal.hpp>
#include <onceward/pipeline/plan.hpp>
#include <onceward/pipeline/runner.hpp>
#include <onceward/pipeline/template_difference.hpp>
#include <onceward/storage/storage.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

struct TemplatesOptions {
  /// Whose templates: they lie in the partition "<tenant>/templates", and the runs of the tenant in
  /// partitions that begin with "<tenant>/". Empty: a system of one tenant; its runs may lie anywhere.
  std::string tenant{};
  const PlanCatalog* code = nullptr;  ///< plans made in code that templates may call; it must outlive them
  Journal* journal = nullptr;         ///< told every act, once it is durable; it must outlive them
};

/// What a publication came to.
struct PublishReport {
  std::string id, version, sha256;
  bool fresh = false;     ///< false: this version with this content was there already; nothing was written
  std::string against{};  ///< the active version that `changes` compares with; empty where there is none
  std::vector<TemplateChange> changes{};
};

/// A template as it is stored.
struct TemplateView {
  struct Version {
    std::string version, sha256;
    bool retired = false;
  };
  std::string id;
  std::string active{};  ///< the version that new runs get; empty: none yet
  std::string canary{};  ///< the version that some of the keys get; empty: none
  int canary_percent = 0;
  std::vector<Version> versions{};  ///< in the order they were published
};

/// One act of an operator on a template.
struct TemplateAct {
  std::int64_t number = 0;  ///< from 1, without gaps
  std::string act;          ///< "publish", "activate", "canary", "retire"
  std::string version;
  std::string before{};
  std::string after{};
  std::string actor;
  std::string reason;
  Timestamp at{};  ///< by the storage's clock
};

/// Runs that have not ended for good: running, or in need of attention.
struct LiveRuns {
  std::size_t count = 0;          ///< at most 10,000 are counted
  std::vector<RunName> examples;  ///< the first 10
};

/// Pipelines as immutable versions in a storage, and which of them new runs get.
///
/// Every act is one batch: the template's record, fenced by the revision that was read, with a line of its
/// history and a notice that tells every TemplateSource to look. After kill -9 it is there whole or not at
/// all, and doing it again is harmless: what is as it was asked for is left as it is. A lost answer is read
/// back. Of two operators one is first; the other's act is judged anew on what the first one left.
///
/// Limits: 10,000 templates of a tenant, 1,000 versions of a template, 1 MiB of text for a version.
/// Safe from any thread; storage and registry must outlive it. Errors of every call: invalid_argument (also
/// an actor or a reason that is empty, of an act), those of the storage.
class Templates {
 public:
  Templates(Storage& storage, const StepRegistry& registry, TemplatesOptions options = {});

  /// Compiles a <pipeline> document against the registry and what it calls (stored versions that are not
  /// retired, then TemplatesOptions::code), and stores it as a version that nobody runs yet. `file` is only
  /// named in messages. Errors: invalid_argument with every mistake, its line and column, in `diagnostics`
  /// too; conflict (the version is there with another content); exhausted (a limit above).
  Result<PublishReport> publish(std::string_view xml, std::string_view file, const Operator& by,
                                std::vector<Diagnostic>* diagnostics = nullptr);
  /// The same of a definition made in code: its XML is stored.
  Result<PublishReport> publish(const PipelineDefinition& definition, const Operator& by);
  /// What publish would say, and nothing is written.
  Result<PublishReport> check(std::string_view xml, std::string_view file,
                              std::vector<Diagnostic>* diagnostics = nullptr);

  /// New runs get this version; runs that began with another one end with it. `expected` is the version that
  /// is active now, empty where there is none. Also the way back to an older version, and the end of a canary
  /// of this version. It is compiled again, here. Errors: not_found; conflict (another one is active than
  /// expected); wrong_state (it is retired, or a canary of another version goes on).
  Result<void> activate(std::string_view id, std::string_view version, std::string_view expected,
                        const Operator& by);
  /// So many of 100 keys get this version, chosen by a hash: a key stays where it is while the percentage
  /// stays, and a higher one only brings further keys. 0 ends it. `expected` is the version's percentage now,
  /// 0 where it has none. Errors: as activate; wrong_state also where nothing is active, or it is this one.
  Result<void> canary(std::string_view id, std::string_view version, int percent, int expected,
                      const Operator& by);
  /// Nobody can activate or call this version any more. Its text stays: a run that a process with an old view
  /// still begins ends as it began. `partitions` are where runs may lie; none: all that the storage lists.
  /// Errors: not_found; wrong_state (it is active or a canary, or runs of it are live; the message counts
  /// them); as live_runs.
  Result<void> retire(std::string_view id, std::string_view version, const Operator& by,
                      std::span<const std::string> partitions = {});
  /// One scan of at least one page for each partition. Errors: wrong_state where the storage has no list of
  /// partitions and none are given; corrupt, where a run cannot be read.
  Result<LiveRuns> live_runs(std::string_view id, std::string_view version,
                             std::span<const std::string> partitions = {});

  Result<std::optional<TemplateView>> find(std::string_view id);
  Result<std::vector<TemplateView>> list();  ///< by id
  /// Acts after number `after`, oldest first, up to `limit` (1..limits::page_records).
  Result<std::vector<TemplateAct>> history(std::string_view id, std::int64_t after = 0,
                                           std::size_t limit = 1000);
  /// The text of a version, as it was published. Errors: not_found.
  Result<std::string> text(std::string_view id, std::string_view version);

 private:
  struct Compiled {
    Plan plan;
    PublishReport report;
  };
  Result<Compiled> compile(std::string_view xml, std::string_view file, std::vector<Diagnostic>* diagnostics);
  Result<void> compiles_here(std::string_view id, std::string_view version);

  Storage& storage_;
  const StepRegistry& registry_;
  TemplatesOptions options_;
  std::string partition_;
};

}  // namespace onceward
