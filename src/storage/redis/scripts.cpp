#include "storage/redis/scripts.hpp"

#include "storage/redis/command.hpp"

namespace onceward::redis::detail {
namespace {

// What every script begins with: the data must be there and of this storage.
constexpr std::string_view head_text = R"lua(
local call, base = redis.call, KEYS[1]
local high, floor, owner = string.match(call('GET', base .. ':high') or '', '^(%d+) (%d+) (.*)$')
if owner ~= ARGV[1] then return redis.error_reply('-ONCEWARD_GONE the data of this shard are gone') end
high = tonumber(high)
local now = tonumber(ARGV[2])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
now = math.max(now, tonumber(floor))
)lua";

// KEYS[1] is BASE. ARGV: the storage's id, now ('' for the server's time), then for each batch: partition,
// number of operations, and for each of these: kind, key, then
//   insert:  value, due_in, expires_in            replace: expected, value, due_in, expires_in
//   remove, require: expected                     add: delta, least, most, due_in, expires_in
// with '' for a time that is not set. Answer: now, then for each batch {1, revision, counter...} or
// {0, index, record or nil}.
// Everything is checked before anything is written: a script that fails half way is not taken back. Numbers
// of Lua are doubles, exact to 2^53: enough for times and revisions in microseconds until the year 2255.
// Counters have 64 bits and are added by the server itself, on a scratch key.
constexpr std::string_view commit_text = R"lua(
local due_set, expiry_set = base .. ':due', base .. ':expiry'
local function text(number) return string.format('%.0f', number) end
local function parse(raw)
  local revision, due, expires, at = string.match(raw, '^(%d+) (%S+) (%S+) ()')
  return revision, due, expires, at
end

local old = call('ZRANGE', expiry_set, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, 8)
for _, id in ipairs(old) do
  local length, start = string.match(id, '^(%d+):()')
  length = tonumber(length)
  local partition = string.sub(id, start, start + length - 1)
  local key = string.sub(id, start + length + 1)
  local raw = call('GET', base .. ':record:' .. id)
  if raw then high = math.max(high, tonumber((parse(raw)))) end
  call('DEL', base .. ':record:' .. id)
  call('ZREM', base .. ':keys:' .. partition, key)
  call('ZREM', due_set, id)
  call('ZREM', expiry_set, id)
end

local function less(a, b)
  local na, nb = string.sub(a, 1, 1) == '-', string.sub(b, 1, 1) == '-'
  if na ~= nb then return na end
  if na then a, b = string.sub(b, 2), string.sub(a, 2) end
  if #a ~= #b then return #a < #b end
  return a < b
end
local function sum_of(current, delta, least, most)
  local sign, digits = string.match(current, '^(-?)0*(%d+)$')
  if not digits then return nil end
  current = (digits == '0') and '0' or sign .. digits
  local scratch = base .. ':sum'
  call('SET', scratch, current)
  local added = redis.pcall('INCRBY', scratch, delta)
  local sum = call('GET', scratch)
  call('DEL', scratch)
  if type(added) == 'table' or less(sum, least) or less(most, sum) then return nil end
  return sum
end
local function time_in(after)
  if after == '' then return '-' end
  return text(now + tonumber(after))
end

local answers = {text(now)}
local at = 3
while at <= #ARGV do
  local partition, count = ARGV[at], tonumber(ARGV[at + 1])
  local head = #partition .. ':' .. partition .. ':'
  local keys_set = base .. ':keys:' .. partition
  at = at + 2
  local writes, revision, refused, counters = {}, math.max(now, high + 1), nil, {}
  for index = 1, count do
    local kind, key = ARGV[at], ARGV[at + 1]
    local id = head .. key
    local record = base .. ':record:' .. id
    local raw = call('GET', record)
    local known, due, expires, value_at = '0', '-', '-', 0
    local live = raw
    if raw then
      known, due, expires, value_at = parse(raw)
      revision = math.max(revision, tonumber(known) + 1)
      if expires ~= '-' and tonumber(expires) <= now then live = false end
    end
    local write = {kind, id, key, record, raw, due, expires}
    local holds
    if kind == 'i' then
      holds = not live
      write[8], write[9], write[10] = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
      at = at + 5
    elseif kind == 'r' then
      holds = (live and known or '0') == ARGV[at + 2]
      write[8], write[9], write[10] = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
      at = at + 6
    elseif kind == 'd' or kind == 'q' then
      holds = (live and known or '0') == ARGV[at + 2]
      if raw then write[12] = tonumber(known) end
      at = at + 3
    else
      local sum = sum_of(live and string.sub(raw, value_at) or '0', ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
      holds = sum
      write[8], write[9], write[10] = sum, ARGV[at + 5], ARGV[at + 6]
      write[11] = live
      if sum then counters[#counters + 1] = sum end
      at = at + 7
    end
    if not holds then
      refused = {0, index - 1, live}
      for _ = index + 1, count do
        local skipped = ARGV[at]
        at = at + ((skipped == 'i' and 5) or (skipped == 'r' and 6) or (skipped == 'a' and 7) or 3)
      end
      break
    end
    writes[index] = write
  end
  if refused then
    answers[#answers + 1] = refused
  else
    revision = text(revision)
    for _, write in ipairs(writes) do
      local kind, id, key, record, raw, due, expires = write[1], write[2], write[3], write[4], write[5], write[6], write[7]
      if kind == 'd' then
        high = math.max(high, write[12])
        call('DEL', record)
        call('ZREM', keys_set, key)
        if due ~= '-' then call('ZREM', due_set, id) end
        if expires ~= '-' then call('ZREM', expiry_set, id) end
      elseif kind ~= 'q' then
        local new_due, new_expires = due, expires
        if not write[11] then new_due, new_expires = time_in(write[9]), time_in(write[10]) end
        call('SET', record, revision .. ' ' .. new_due .. ' ' .. new_expires .. ' ' .. write[8])
        if not raw then call('ZADD', keys_set, 0, key) end
        if new_due ~= '-' then
          if new_due ~= due then call('ZADD', due_set, new_due, id) end
        elseif due ~= '-' then
          call('ZREM', due_set, id)
        end
        if new_expires ~= '-' then
          if new_expires ~= expires then call('ZADD', expiry_set, new_expires, id) end
        elseif expires ~= '-' then
          call('ZREM', expiry_set, id)
        end
      end
    end
    local applied = {1, revision}
    for i, sum in ipairs(counters) do applied[i + 2] = sum end
    answers[#answers + 1] = applied
  end
end
call('SET', base .. ':high', text(high) .. ' ' .. text(now) .. ' ' .. owner)
return answers
)lua";

// KEYS[1] is BASE. ARGV: id, now or '', partition, prefix, where to begin in ZRANGE's words, limit. Lua would
// compare keys by the server's locale, so the client says where. Answer: now, whether there is more, then key
// and record alternately.
constexpr std::string_view scan_text = R"lua(
local partition, prefix, from, limit = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local keys_set, head = base .. ':keys:' .. partition, base .. ':record:' .. #partition .. ':' .. partition .. ':'
local found, more = {}, 0
while true do
  local keys = call('ZRANGE', keys_set, from, '+', 'BYLEX', 'LIMIT', 0, limit + 1 - #found / 2)
  for _, key in ipairs(keys) do
    if string.sub(key, 1, #prefix) ~= prefix then return {string.format('%.0f', now), 0, found} end
    local raw = call('GET', head .. key)
    local expires = raw and string.match(raw, '^%d+ %S+ (%S+) ')
    if expires and (expires == '-' or tonumber(expires) > now) then
      if #found == limit * 2 then return {string.format('%.0f', now), 1, found} end
      found[#found + 1] = key
      found[#found + 1] = raw
    end
    from = '(' .. key
  end
  if #keys == 0 then return {string.format('%.0f', now), 0, found} end
end
)lua";

// KEYS[1] is BASE. ARGV: id, now or '', limit. Answer: now, the next due time or '', then id and record
// alternately.
constexpr std::string_view due_text = R"lua(
local limit, found, offset = tonumber(ARGV[3]), {}, 0
local page = math.min(limit + 1, 64)
while true do
  local ids = call('ZRANGE', base .. ':due', '-inf', '+inf', 'BYSCORE', 'LIMIT', offset, page)
  for _, id in ipairs(ids) do
    local raw = call('GET', base .. ':record:' .. id)
    local due, expires = string.match(raw or '', '^%d+ (%S+) (%S+) ')
    if due and (expires == '-' or tonumber(expires) > now) then
      if tonumber(due) > now or #found == limit * 2 then return {string.format('%.0f', now), due, found} end
      found[#found + 1] = id
      found[#found + 1] = raw
    end
  end
  if #ids < page then return {string.format('%.0f', now), '', found} end
  offset = offset + page
end
)lua";

}  // namespace

std::vector<std::string> Scripts::loads() const {
  std::vector<std::string> commands;
  for (const auto* script : {&commit, &scan, &due}) {
    CommandWriter(commands.emplace_back()).command({"SCRIPT", "LOAD", script->text});
  }
  return commands;
}

Scripts all_scripts() {
  const auto with_head = [](std::string_view text) { return Script{std::string(head_text).append(text)}; };
  return {with_head(commit_text), with_head(scan_text), with_head(due_text)};
}

}  // namespace onceward::redis::detail
