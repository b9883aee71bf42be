#include "storage/redis/scripts.hpp"

#include "storage/redis/command.hpp"

namespace onceward::redis::detail {
namespace {

// What the reading scripts begin with: the data must be there and of this storage.
constexpr std::string_view head_text = R"lua(
local call, base = redis.call, ARGV[3]
local _, floor, owner = string.match(call('GET', KEYS[1]) or '', '^(%d+) (%d+) (.*)$')
if owner ~= ARGV[1] then return redis.error_reply('-ONCEWARD_GONE the data of this shard are gone') end
local now = tonumber(ARGV[2])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
now = math.max(now, tonumber(floor))
)lua";

// A call carries batches of one shard or, where one server holds them all, of many: what a script costs
// before its first write is paid once. ARGV: the storage's id, now ('' for the server's time), how many of
// the KEYS are strings, then for each shard: its number of batches, and for each of these: its number of
// operations, and for each of these: kind, then
//   insert:  value, due_in, expires_in            replace: expected, value, due_in, expires_in
//   remove, require: expected                     add: delta, least, most, due_in, expires_in
//   insert again (n): as replace
// with '' for a time that is not set. KEYS, strings first: for each shard BASE:high and the records of its
// operations; then for each shard BASE:due, BASE:expiry and for each batch BASE:keys:<partition>.
// Answer: for each shard {now, batch...}, a batch being {1, revision, counter...} or {0, index, record or
// nil}, or {2, index} where a record is not what this version writes, or {3, index} where the shard has lost
// its data and the batch needs an absence that nobody can vouch for, or where the data are another storage's.
// What is there is there, what is not there may have been, so that only a writer who knows (insert again) may
// write there; BASE:high stays away. Everything of a batch is checked before anything of it is written: a
// script that fails half way is not taken back. So it touches only keys that the call names, without which a
// cluster would not have let it begin; what it tidies up afterwards may be on the move to another node, and
// is tried. Numbers of Lua are doubles, exact to 2^53: enough for times and revisions in microseconds until
// the year 2255. Counters have 64 bits and are added in two halves. What a script costs is the number of its
// calls and the bytes of its strings. So the time of the last write is noted, and what has expired is taken
// away, not more often than every tenth of a second; and an entry of the expiry set may be too early, or name
// what is gone: it is mended when its time comes.
constexpr std::string_view commit_text = R"lua(
local call, match, sub, format, whole = redis.call, string.match, string.sub, string.format, '%.0f'
local function less(a, b)
  local na, nb = sub(a, 1, 1) == '-', sub(b, 1, 1) == '-'
  if na ~= nb then return na end
  if na then a, b = sub(b, 2), sub(a, 2) end
  if #a ~= #b then return #a < #b end
  return a < b
end
local function halves(text)
  local sign, digits = match(text, '^(-?)0*(%d+)$')
  local most = sign == '-' and '9223372036854775808' or '9223372036854775807'
  if not digits or #digits > 19 or (#digits == 19 and digits > most) then return nil end
  local s = sign == '-' and -1 or 1
  return s * (tonumber(sub(digits, 1, -11)) or 0), s * tonumber(sub(digits, -10))
end
local function added(a, b)
  local high_a, low_a = halves(a)
  local high_b, low_b = halves(b)
  if not high_a then return nil end
  local high, low = high_a + high_b, low_a + low_b
  local negative = high < 0 or (high == 0 and low < 0)
  if negative then high, low = 0 - high, 0 - low end  -- never the zero with a sign
  if low < 0 then high, low = high - 1, low + 1e10 end
  if low >= 1e10 then high, low = high + 1, low - 1e10 end
  local sum = high == 0 and format(whole, low) or format('%.0f%010.0f', high, low)
  if negative then sum = '-' .. sum end
  if less(sum, '-9223372036854775808') or less('9223372036854775807', sum) then return nil end
  return sum
end
local words = {i = 4, r = 5, n = 5, a = 6, d = 2, q = 2}
local clock, clock_text = tonumber(ARGV[2]), ARGV[2]
if not clock then
  local time = call('TIME')
  clock = time[1] * 1000000 + time[2]
  clock_text = format(whole, clock)
end
local storage, at, last = ARGV[1], 4, #ARGV
local name, set = 1, ARGV[3] + 1
-- What the records were before this script, and what it has written since.
local stored, fresh = call('MGET', unpack(KEYS, 1, set - 1)), {}
local answers = {}
while at <= last do
  local high_key, due_set, expiry_set = KEYS[name], KEYS[set], KEYS[set + 1]
  local high, floor, owner = match(stored[name] or '', '^(%d+) (%d+) (.*)$')
  local lost, foreign = not stored[name], stored[name] and owner ~= storage
  high, floor = tonumber(high or 0), tonumber(floor or 0)
  local high_was, base_length, now, now_text = high, #high_key - 5, clock, clock_text
  if floor > now then
    now = floor
    now_text = format(whole, now)
  end
  local id_from = base_length + 9
  local answer, batches = {now_text}, tonumber(ARGV[at])
  at, name, set = at + 1, name + 1, set + 2
  for batch = 1, batches do
    local count, keys_set, end_of_names = tonumber(ARGV[at]), KEYS[set], name + ARGV[at]
    local partition_length = #keys_set - base_length - 6
    local key_from = id_from + partition_length + #tostring(partition_length) + 2
    local writes, revision, refused, counters = {}, now, nil, nil
    if high >= now then revision = high + 1 end
    at, set = at + 1, set + 1
    for index = 1, count do
      local record, kind, raw = KEYS[name], ARGV[at], stored[name]
      if fresh[record] ~= nil then raw = fresh[record] end
      local known, due, expires, value_at, live, broken = '0', '-', '-', nil, raw, false
      if raw then
        known, due, expires, value_at = match(raw, '^(%d+) (%S+) (%S+) ()')
        if known then
          local next_revision = known + 1
          if next_revision > revision then revision = next_revision end
          if expires ~= '-' and tonumber(expires) <= now then live = false end
        else
          broken, known, live = true, '0', false
        end
      end
      local holds, value, due_in, expires_in, keeps
      local unsure = foreign or (lost and not live
        and (kind == 'i' or kind == 'a' or (kind == 'q' and ARGV[at + 1] == '0')))
      if kind == 'i' then
        holds = not live
        value, due_in, expires_in = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
      elseif kind == 'r' or kind == 'n' then
        if kind == 'r' then
          holds = live and known == ARGV[at + 1]
        else
          holds, revision = not live, math.max(revision, ARGV[at + 1] + 1)
        end
        value, due_in, expires_in = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
      elseif kind == 'a' then
        local sum = added(live and sub(raw, value_at) or '0', ARGV[at + 1])
        if sum and not less(sum, ARGV[at + 2]) and not less(ARGV[at + 3], sum) then
          holds, value = true, sum
          counters = counters or {}
          counters[#counters + 1] = sum
        end
        due_in, expires_in, keeps = ARGV[at + 4], ARGV[at + 5], live
      else
        holds = (live and known or '0') == ARGV[at + 1]
      end
      if broken or unsure or not holds then
        refused = {(broken and 2) or (unsure and 3) or 0, index - 1, live}
        for _ = index, count do at = at + words[ARGV[at]] end
        break
      end
      if kind ~= 'q' then
        writes[#writes + 1] = {record, kind == 'd', known, raw, due, expires,
          value, due_in, expires_in, keeps}
      end
      at, name = at + words[kind], name + 1
    end
    name = end_of_names
    if refused then
      answer[#answer + 1] = refused
    else
      local revision_text = revision == now and now_text or format(whole, revision)
      for _, write in ipairs(writes) do
        local record, raw, due, expires = write[1], write[4], write[5], write[6]
        local id = sub(record, id_from)
        if write[2] then
          high = math.max(high, tonumber(write[3]))
          call('DEL', record)
          call('ZREM', keys_set, sub(record, key_from))
          if due ~= '-' then call('ZREM', due_set, id) end
          if expires ~= '-' then call('ZREM', expiry_set, id) end
          fresh[record] = false
        else
          local due_in, expires_in, new_due, new_expires = write[8], write[9], due, expires
          if not write[10] then
            new_due = due_in == '' and '-' or format(whole, now + due_in)
            new_expires = expires_in == '' and '-' or format(whole, now + expires_in)
          end
          local text = revision_text .. ' ' .. new_due .. ' ' .. new_expires .. ' ' .. write[7]
          if raw then
            call('SET', record, text)
          else
            if not call('SET', record, text, 'NX') then
              return redis.error_reply('WRONGTYPE the key ' .. record .. ' holds no record')
            end
            call('ZADD', keys_set, 0, sub(record, key_from))
          end
          fresh[record] = text
          if new_due ~= due then
            if new_due ~= '-' then
              call('ZADD', due_set, new_due, id)
            else
              call('ZREM', due_set, id)
            end
          end
          if new_expires == '-' then
            if expires ~= '-' then call('ZREM', expiry_set, id) end
          elseif expires == '-' or tonumber(new_expires) < tonumber(expires) then
            call('ZADD', expiry_set, new_expires, id)
          end
        end
      end
      local applied = {1, revision_text}
      if counters then
        for i, sum in ipairs(counters) do applied[i + 2] = sum end
      end
      answer[#answer + 1] = applied
    end
  end
  answers[#answers + 1] = answer

  if not lost and not foreign then
    if now - floor >= 100000 then
      local base = sub(high_key, 1, base_length)
      local record_head = base .. ':record:'
      local function try(...)
        local answer = redis.pcall(...)
        if type(answer) == 'table' and answer.err then return nil, true end
        return answer, false
      end
      local ids = call('ZRANGE', expiry_set, '-inf', now_text, 'BYSCORE', 'LIMIT', 0, 64)
      for _, id in ipairs(ids) do
        local raw, failed = try('GET', record_head .. id)
        if raw then
          local known, due, expires = match(raw, '^(%d+) (%S+) (%S+) ')
          if known and expires ~= '-' and tonumber(expires) > now then
            _, failed = try('ZADD', expiry_set, expires, id)
          elseif known then
            local length, start = match(id, '^(%d+):()')
            length = tonumber(length)
            local keys_of = base .. ':keys:' .. sub(id, start, start + length - 1)
            _, failed = try('ZREM', keys_of, sub(id, start + length + 1))
            if not failed then
              high = math.max(high, tonumber(known))
              call('DEL', record_head .. id)
              call('ZREM', expiry_set, id)
              if due ~= '-' then call('ZREM', due_set, id) end
            end
          end
        end
        if failed then break end
      end
      floor = now
    end
    if floor == now or high > high_was then
      -- Without memory the time goes unnoted; a removal has freed some, and its revision is written.
      local set = high > high_was and call or redis.pcall
      set('SET', high_key, format(whole, high) .. ' ' .. format(whole, floor) .. ' ' .. owner)
    end
  end
end
return answers
)lua";

// KEYS[1] is BASE. ARGV: id, now or '', partition, prefix, where to begin in ZRANGE's words, limit. Lua would
// compare keys by the server's locale, so the client says where. Answer: now, whether there is more, then key
// and record alternately.
constexpr std::string_view scan_text = R"lua(
local partition, prefix, from, limit = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local keys_set, head = KEYS[2], base .. ':record:' .. #partition .. ':' .. partition .. ':'
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

// KEYS: BASE:high, BASE:due. ARGV: id, now or '', BASE, limit. Answer: now, the next due time or '', then id
// and record alternately.
constexpr std::string_view due_text = R"lua(
local limit, found, offset = tonumber(ARGV[4]), {}, 0
local page = math.min(limit + 1, 64)
while true do
  local ids = call('ZRANGE', KEYS[2], '-inf', '+inf', 'BYSCORE', 'LIMIT', offset, page)
  for _, id in ipairs(ids) do
    local raw = call('GET', base .. ':record:' .. id)
    if not raw then return redis.error_reply('-TRYAGAIN a record is being moved') end
    local due, expires = string.match(raw, '^%d+ (%S+) (%S+) ')
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
  return {{std::string(commit_text)}, with_head(scan_text), with_head(due_text)};
}

}  // namespace onceward::redis::detail
