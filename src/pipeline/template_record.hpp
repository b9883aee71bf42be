#pragma once
#include <onceward/pipeline/templates.hpp>

#include <map>

// How templates lie in their partition:
//   template/<id>            which version is active, and all versions there are (JSON)
//   version/<id>/<version>   the text of a version, as it was published (XML)
//   act/<id>/<number>        one line of the history (JSON)
//   notice                   a counter: whoever writes one of the others adds 1
//   count                    a counter of the templates
namespace onceward::pipeline_detail {

inline constexpr std::string_view template_prefix = "template/";
inline constexpr std::string_view notice_key = "notice";
inline constexpr std::string_view count_key = "count";
inline constexpr std::size_t most_templates = 10'000;
inline constexpr std::size_t most_versions = 1000;

struct TemplateRecord : TemplateView {
  std::string previous{};  ///< was active before
  std::int64_t acts = 0;   ///< how many lines its history has

  [[nodiscard]] const Version* find(std::string_view version) const noexcept;
};

[[nodiscard]] std::string templates_partition(std::string_view tenant);
[[nodiscard]] std::string template_key(std::string_view id);
[[nodiscard]] std::string version_key(std::string_view id, std::string_view version);
[[nodiscard]] std::string act_key(std::string_view id, std::int64_t number);

[[nodiscard]] std::string encode(const TemplateRecord& record);
/// Errors: corrupt.
[[nodiscard]] Result<TemplateRecord> decode_template(const Record& record);
/// `sign` tells the writes of two callers apart.
[[nodiscard]] std::string encode(const TemplateAct& act, std::string_view sign);
[[nodiscard]] Result<TemplateAct> decode_act(const Record& record);
[[nodiscard]] std::string sign_of(const Record& act);

/// Whether a canary of so many percent takes this key. Stable for ever: it is what keeps a key where it is.
[[nodiscard]] bool in_canary(std::string_view id, std::string_view partition, std::string_view key,
                             int percent);

/// The plans of one tenant's stored versions, compiled with those they call. Of one thread.
class TemplateLoader {
 public:
  /// `code` may be null. Where `retired` is false, what compile() is given may call no retired version.
  TemplateLoader(Storage& storage, std::string_view partition, const StepRegistry& registry,
                 const PlanCatalog* code, bool retired)
      : storage_(storage), partition_(partition), registry_(registry), code_(code), retired_(retired) {}

  /// Errors: not_found; corrupt (its text is of another version); invalid_argument, with `diagnostics`.
  Result<Plan> load(std::string_view id, std::string_view version,
                    std::vector<Diagnostic>* diagnostics = nullptr);
  Result<Plan> compile(std::string_view xml, std::string_view file, std::vector<Diagnostic>* diagnostics);
  /// A plan that is known already, and need not be read.
  void know(const Plan& plan);
  using Name = std::pair<std::string, std::string>;  ///< (id, version)
  /// Reads many texts in few round trips, for load(). One that is not there is load()'s to tell.
  Result<void> fetch(std::span<const Name> names);

 private:
  Result<std::optional<Plan>> callee(std::string_view id, std::string_view version);

  Storage& storage_;
  std::string partition_;
  const StepRegistry& registry_;
  const PlanCatalog* code_;
  bool retired_;
  std::size_t depth_ = 0;
  std::map<Name, Plan> known_{};
  std::map<Name, std::string> texts_{};
};

}  // namespace onceward::pipeline_detail
