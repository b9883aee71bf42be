#pragma once
#include "business.hpp"

#include <onceward/pipeline/step.hpp>

namespace loyalty {

/// Offers the two services to pipelines: grant-points@1 (user, amount) and grant-coupon@1 (user, code).
/// `business` must outlive the registry. Errors: as StepRegistry::add.
onceward::Result<void> add_steps(onceward::StepRegistry& registry, Business& business);
/// The same names and arguments without a service behind them: to check a campaign before anything is opened.
onceward::Result<void> add_step_specs(onceward::StepRegistry& registry);

}  // namespace loyalty
