local call,K,A=redis.call,KEYS,ARGV
local function permit(command, key)
  if not redis.acl_check_cmd(command, key) then
    error({err='NOPERM the user may not run '..command})
  end
end
local s,w,k,l,o,P,O,M=0,false,0,2,0,{},{}
local function txn(k,a,o)
s=1 do local v=call('ZSCORE',K[k+1],A[a+1]) if v~=A[a+2] and (not v or tonumber(v)~=tonumber(A[a+2])) then O[o+1]=0 return 1 end end
s=2 if call('HGET',K[k+2],A[a+1])~=A[a+3] then O[o+1]=0 return 1 end
local f1,f2,f3,f4
if P[K[k+3]]~='h' then s=4 call('HLEN',K[k+3]) P[K[k+3]]='h' end
if P[K[k+4]]~='h' then s=6 call('HLEN',K[k+4]) P[K[k+4]]='h' end
if not M then s=3 permit('ZREM',K[k+1]) s=4 permit('HDEL',K[k+3]) M=true end
s=7 do local v=call('HINCRBY',K[k+5],A[a+4],A[a+5]) if v>=2^53 or v<=-2^53 then v=call('HGET',K[k+5],A[a+4]) end O[o+2]=v end w=true
s=3 f1=call('ZREM',K[k+1],A[a+1])
s=4 f2=call('HDEL',K[k+3],A[a+1])
s=5 f3=call('HDEL',K[k+2],A[a+1])
s=6 f4=call('HDEL',K[k+4],A[a+1])
O[o+1]=1+4*f1+8*f2+16*f3+32*f4 return 2
end
for i=1,A[1]+0 do
local a=l l=a+5 s,w=0,false
local ok,e=pcall(txn,k,a,o)
if not ok then
O[o+1],O[o+2],O[o+3]=w and 3 or 2,s,type(e)=='table' and e.err or e e=3 end
o=o+e k=k+A[2]
end
return O
