#pragma once

namespace loyalty {

/// Asks the system to back the heap with huge pages, where it has them: a run on memory: touches every page
/// of it once, and half of its time would go to faults and address translation. Changes nothing elsewhere.
void use_huge_pages() noexcept;

}  // namespace loyalty
