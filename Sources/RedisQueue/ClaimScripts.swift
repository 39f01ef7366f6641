import RedisClient

/// Taking messages and keeping them: Lua that runs as one step each.
enum ClaimScripts {
    /// Moves waiting members into claims and returns them.
    ///
    /// KEYS: pending, claimed, owners, claims, dead letters, commit. ARGV: limit, bytes looked at, taken or not, at which
    /// to stop, lease in milliseconds, token of this call, upper bound of the score, longest member, longest member whose JSON is decoded
    /// here, head and tail of a dead letter for a member that is too long, members to pass over, members to look at, targets
    /// to leave where they are. Members of those are left where that is evident: by the first `model` in the payload.
    /// What the server copies to look at it is bounded as well: first one member is read, and then as many as fit if they are
    /// like the largest so far.
    ///
    /// Returns the number of members left, how many of them from the head on need not be looked at again, 1 if the end has
    /// been reached, then key, owner, score and member of each claim. The owner begins with the token; others only ever
    /// compare it, so that it also carries the score to give back. The keys are remembered under the commit key for a
    /// minute: a call that is made again because its reply was lost returns the same claims.
    static let claim = RedisScript(
        EnvelopeScript.source + #"""
            local passed = tonumber(ARGV[10])
            local limit, most, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6])
            local expiry = string.format('%.6f', server_time() + tonumber(ARGV[3]) / 1000)
            local reply, count, bytes = {0, passed, 0}, 0, 0
            local looks, excluded = tonumber(ARGV[11]), {}
            for i = 12, #ARGV do excluded[ARGV[i]] = true end
            local function is_left(member)
              if #ARGV < 12 then return false end
              local payload = string.find(member, '"payload"%s*:%s*{')
              local target = payload and string.match(member, '"model"%s*:%s*"([^"\\]*)"', payload)
              return target and excluded[target]
            end
            local before = redis.call('GET', KEYS[6])
            if before then
              for _, key in ipairs(cmsgpack.unpack(before)) do
                local owner, member = redis.call('HGET', KEYS[3], key), redis.call('HGET', KEYS[2], key)
                local score = owner and member and string.match(owner, '^' .. ARGV[4] .. ':%d+:(.+)$')
                if score then
                  for _, value in ipairs({key, owner, score, member}) do reply[#reply + 1] = value end
                end
              end
              reply[1] = redis.call('ZCARD', KEYS[1])
              return reply
            end
            local claimed, held, chunk, largest = {}, {}, 1, 1
            while count < limit and bytes < most and looks > 0 do
              chunk = math.min(chunk, 32, limit - count, math.max(1, math.floor((most - bytes) / largest)))
              local found
              if ARGV[5] == '+inf' then
                found = redis.call('ZRANGE', KEYS[1], passed, passed + chunk - 1, 'WITHSCORES')
              else
                found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[5], 'WITHSCORES', 'LIMIT', passed, chunk)
              end
              if #found == 0 then
                reply[3] = 1
                break
              end
              looks = looks - #found / 2
              local removed, left, members, owners, leases = {}, 0, {}, {}, {}
              for i = 1, #found, 2 do
                local member, score = found[i], found[i + 1]
                if bytes >= most then break end
                bytes = bytes + #member
                largest = math.max(largest, #member)
                local stays, is_buried = is_left(member), false
                if #member > longest and not stays then
                  local buried = redis.pcall('LPUSH', KEYS[5], ARGV[8] .. member .. ARGV[9])
                  -- What the dead letters do not take waits.
                  is_buried = type(buried) == 'number'
                  stays = not is_buried
                end
                if stays then left = left + 1 else removed[#removed + 1] = member end
                if not stays and not is_buried then
                  count = count + 1
                  local owner = ARGV[4] .. ':' .. count .. ':' .. score
                  local envelope = identity(member, tonumber(ARGV[7]))
                  local key
                  if not envelope then
                    key = '\0unread\0' .. owner
                  elseif envelope.token ~= '' then
                    key = envelope.id .. '\0' .. envelope.token
                  else
                    key = envelope.id
                    local other = held[key] or redis.call('HGET', KEYS[2], key)
                    if other and other ~= member then
                      local earlier = identity(other, tonumber(ARGV[7]))
                      if not earlier or earlier.retries >= envelope.retries then key = key .. '\0\0' .. owner end
                    end
                    held[key] = member
                  end
                  local n = #leases
                  members[n + 1], members[n + 2] = key, member
                  owners[n + 1], owners[n + 2] = key, owner
                  leases[n + 1], leases[n + 2] = expiry, key
                  claimed[#claimed + 1] = key
                  n = #reply
                  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = key, owner, score, member
                end
              end
              if left == 0 then
                redis.call('ZREMRANGEBYRANK', KEYS[1], passed, passed + #removed - 1)
              elseif #removed > 0 then
                redis.call('ZREM', KEYS[1], unpack(removed))
              end
              passed = passed + left
              chunk = chunk * 2
              if #leases > 0 then
                redis.call('HSET', KEYS[2], unpack(members))
                redis.call('HSET', KEYS[3], unpack(owners))
                redis.call('ZADD', KEYS[4], unpack(leases))
              end
            end
            reply[2] = passed
            if count > 0 then redis.call('SET', KEYS[6], cmsgpack.pack(claimed), 'EX', 60) end
            reply[1] = redis.call('ZCARD', KEYS[1])
            return reply
            """#)

    /// Extends claims. KEYS: owners, claims. ARGV: lease in milliseconds, then key and owner of each. Returns the places, from
    /// 1, of those that are in other hands.
    static let extend = RedisScript(
        EnvelopeScript.source + #"""
            local expiry = string.format('%.6f', server_time() + tonumber(ARGV[1]) / 1000)
            local lost = {}
            for i = 2, #ARGV, 2 do
              if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
                redis.call('ZADD', KEYS[2], expiry, ARGV[i])
              else
                lost[#lost + 1] = i / 2
              end
            end
            return lost
            """#)

    /// Reads payloads. KEYS: where they are. ARGV: longest payload, bytes at which to stop. Returns as many as fit, in order:
    /// the payload, 0 where there is none, 1 where it is too long.
    static let payloads = RedisScript(
        #"""
        local found, bytes = {}, 0
        for _, key in ipairs(KEYS) do
          if bytes >= tonumber(ARGV[2]) then break end
          local size = redis.pcall('STRLEN', key)
          if type(size) ~= 'number' or size == 0 then
            found[#found + 1] = 0
          elseif size > tonumber(ARGV[1]) then
            found[#found + 1] = 1
          else
            bytes = bytes + size
            found[#found + 1] = redis.call('GET', key)
          end
        end
        return found
        """#)
}
