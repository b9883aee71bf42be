#include "rehearsal.hpp"

#include "steps.hpp"

#include <onceward/storage/open.hpp>

#include <utility>

namespace loyalty {

using onceward::fail;
using onceward::Result;

namespace {
/// Shapes tried; orders of more kinds than this are checked when they are reported.
constexpr std::size_t most_shapes = 1000;
}  // namespace

struct Rehearsal::Stage {
  explicit Stage(std::unique_ptr<onceward::Storage> memory) : storage(std::move(memory)) {}

  std::unique_ptr<onceward::Storage> storage;
  onceward::StepRegistry registry{};
  onceward::PlanCatalog catalog{};
  onceward::Runner runner{*storage, catalog, {}};
  onceward::TaskCenter center{*storage, catalog, runner, {}};
};

Rehearsal::Rehearsal(std::unique_ptr<Stage> stage) noexcept : stage_(std::move(stage)) {}
Rehearsal::Rehearsal(Rehearsal&&) noexcept = default;
Rehearsal& Rehearsal::operator=(Rehearsal&&) noexcept = default;
Rehearsal::~Rehearsal() = default;

Result<Rehearsal> Rehearsal::make(const onceward::CampaignDefinition& campaign) {
  auto memory = onceward::open_storage("memory:");
  if (!memory) return fail(std::move(memory).error());
  auto stage = std::make_unique<Stage>(std::move(*memory));
  if (auto added = add_step_specs(stage->registry); !added) return fail(std::move(added).error());
  const auto compiled = onceward::Campaign::compile(campaign, stage->registry);
  if (!compiled) return fail(compiled.error());
  if (auto published = stage->center.publish(*compiled); !published)
    return fail(std::move(published).error());
  return Rehearsal(std::move(stage));
}

Result<void> Rehearsal::play(const CsvRow& row, const RowMapper& mapper) {
  mapper.shape(row, shape_);
  if (seen_.size() >= most_shapes || !seen_.insert(shape_).second) return {};
  onceward::Event event;
  mapper.fill(row, event);
  const auto receipt = stage_->center.report(event);
  // One event may share its id with another one; which of them is right is known when they are reported.
  if (receipt || receipt.error().code == onceward::ErrorCode::conflict) return {};
  return fail(receipt.error());
}

}  // namespace loyalty
