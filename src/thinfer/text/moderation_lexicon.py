"""Words and sentence patterns of the generated moderation corpus; mild on purpose.

A pattern holds slots in braces; `SLOTS` fills them, and a few are filled with made-up numbers.
Kinds share patterns and words, so that no single word gives a label away.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CONTEXTS", "DECOYS", "FRAMES", "KINDS", "SHARED", "SLOTS", "VAGUE"]

Patterns = Mapping[str, tuple[str, ...]]

NORMAL = "normal"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Slot → words; the first two letters of a slot are its language.
SLOTS: Patterns = {
    "zh_who": _words(
        "妈妈 爸爸 同桌 室友 老师 邻居 表弟 外婆 教练 班长 店员 司机 同事 经理 医生 护士 学姐 "
        "堂哥 房东 导游 编辑 作者 主播 保安 快递员 摄影师 小王 老李 阿杰 小雨 晓峰 佳怡 子涵"
    ),
    "zh_place": _words(
        "北京 上海 广州 深圳 成都 杭州 武汉 西安 南京 重庆 长沙 青岛 厦门 昆明 大连 苏州 桂林 拉萨 "
        "公园 图书馆 操场 地铁站 菜市场 咖啡馆 博物馆 海边 山顶 楼下 机场 食堂 电影院 书店 健身房"
    ),
    "zh_food": _words(
        "火锅 烧烤 饺子 面条 米粉 煎饼 奶茶 豆浆 烤鸭 小龙虾 酸辣粉 蛋糕 寿司 披萨 粽子 月饼 汤圆 "
        "螺蛳粉 牛肉面 麻婆豆腐 糖醋排骨 番茄炒蛋 西瓜 葡萄 草莓 芒果 榴莲 酸奶 冰淇淋 糖葫芦"
    ),
    "zh_thing": _words(
        "手机 电脑 耳机 键盘 相机 球鞋 雨伞 书包 台灯 自行车 钢琴 吉他 望远镜 手表 围巾 毛衣 "
        "小说 漫画 词典 地图 拼图 帐篷 鱼竿 滑板 风筝 花盆 沙发 冰箱 洗衣机 空调 微波炉 电饭煲"
    ),
    "zh_topic": _words(
        "足球 篮球 羽毛球 电影 音乐 摄影 历史 天文 编程 数学 考试 论文 旅行 装修 养猫 养狗 园艺 "
        "减肥 跑步 瑜伽 书法 围棋 象棋 动漫 电视剧 综艺 综合大学 天气 台风 股市 房价 高铁 航班 春节"
    ),
    "zh_feel": _words(
        "开心 难过 激动 失望 无聊 满意 惊讶 感动 疲惫 放松 紧张 踏实 羡慕 后悔 温暖 期待 糟糕 不错 "
        "精彩 一般 便宜 太贵 好吃 难吃 漂亮 舒服 安静 吵闹 干净 拥挤"
    ),
    "zh_time": _words("今天 昨天 明天 周末 早上 中午 晚上 刚才 上周 下个月 去年 暑假 凌晨 傍晚"),
    "zh_poor": _words(
        "笨蛋 蠢货 草包 废柴 饭桶 糊涂虫 懒骨头 马屁精 胆小鬼 吹牛大王 讨厌鬼 榆木脑袋 木头人"
    ),
    "zh_fake": _words(
        "假证 假发票 假文凭 假烟 假酒 走私手表 盗版软件 仿真枪 违禁药 野生象牙 外挂 黑卡 管制刀具 "
        "走私香水 假车牌 考试答案 迷药 高仿名包 窃听器 毕业证"
    ),
    "zh_prize": _words("大奖 红包 礼品 现金 补贴 退款 奖学金 优惠券 积分 理赔金 中奖名额 体验卡"),
    "zh_goods": _words(
        "减肥茶 面膜 净水器 保健品 课程 网课 装修套餐 会员卡 理财产品 眼霜 洗发水 茶叶 白酒 学车班 "
        "贷款 信用卡 房源 加盟店 祛痘膏 增高鞋 流量卡 代写服务 兼职 刷单"
    ),
    "zh_flirt": _words("小姐姐 小哥哥 美女 帅哥 辣妹 模特 主播妹妹 同城姐妹 寂寞少妇 大叔"),
    "en_who": _words(
        "mom dad coach teacher neighbor roommate cousin driver doctor nurse manager editor waiter "
        "alice marco priya kenji fatima oliver chloe ivan grandma brother sister landlord pilot"
    ),
    "en_place": _words(
        "london paris berlin tokyo austin denver madrid oslo cairo sydney library station airport "
        "park gym cinema museum market bakery campus beach office kitchen garden stadium hotel"
    ),
    "en_food": _words(
        "noodles pizza sushi dumplings pancakes curry salad tacos ramen cheesecake bagels coffee "
        "smoothie waffles lasagna popcorn burgers oatmeal strawberries mangoes yogurt soup"
    ),
    "en_thing": _words(
        "phone laptop headphones keyboard camera sneakers umbrella backpack lamp bicycle piano "
        "guitar telescope watch scarf sweater novel comic dictionary puzzle tent skateboard sofa"
    ),
    "en_topic": _words(
        "football basketball movies music photography history astronomy programming chess exams "
        "travel gardening cats dogs running yoga painting weather traffic concerts housing flights"
    ),
    "en_feel": _words(
        "happy sad excited disappointed bored satisfied surprised tired relaxed nervous grateful "
        "great awful amazing average cheap overpriced tasty comfortable noisy clean crowded"
    ),
    "en_time": _words("today yesterday tomorrow tonight monday friday lately weekends"),
    "en_poor": _words("clown fool dimwit blockhead loser coward windbag moron numbskull slacker"),
    "en_fake": _words(
        "diplomas passports licenses invoices banknotes watches cigarettes pills plates cheats "
        "answers handbags silencers ivory software accounts"
    ),
    "en_prize": _words("prize refund bonus voucher grant lottery jackpot reward giveaway"),
    "en_goods": _words(
        "supplements skincare courses loans insurance timeshares vpn followers backlinks crypto "
        "signals memberships tea serum mattresses webinars franchises"
    ),
    "en_flirt": _words("girls singles ladies hotties models boys playmates strangers"),
}

# What any text may begin or end with, whatever its label.
CONTEXTS: Patterns = {
    "zh": (
        "{zh_time}在{zh_place}",
        "和{zh_who}聊{zh_topic}，",
        "{zh_who}说",
        "哈哈，",
        "刚吃完{zh_food}，",
        "大家好，",
        "关于{zh_topic}，",
        "听{zh_who}讲，",
        "新买的{zh_thing}到了，",
        "{zh_time}有点{zh_feel}，",
    ),
    "en": (
        "{en_time} at the {en_place}, ",
        "my {en_who} said ",
        "about {en_topic}: ",
        "hi all, ",
        "lol ",
        "after some {en_food}, ",
        "feeling {en_feel}, ",
        "got a new {en_thing}, ",
    ),
}

# Frames that turn an offence into talk about it: the text is normal.
FRAMES: Patterns = {
    "zh": (
        "警方提醒，看到“{x}”请立即举报",
        "平台刚删了一条写着{x}的帖子",
        "{zh_who}问我“{x}”是不是骗人的",
        "新闻里说有人发“{x}”被处罚了",
        "千万别信{x}这种话",
        "老师上课讲了{x}这类案例",
    ),
    "en": (
        'police warn: report anyone posting "{x}"',
        "the mods removed a post that said {x}",
        'is "{x}" a scam? my {en_who} got it',
        "never trust messages like {x}",
        "our class discussed why {x} is harmful",
        'news: someone fined for writing "{x}"',
    ),
}

# Words of a frame before a real offence, so that the frame's words alone decide nothing.
DECOYS: Patterns = {
    "zh": (
        "警方也管不着，",
        "平台不会删，",
        "绝不是骗人的，",
        "新闻里都说好，",
        "放心，举报也没用，",
        "{zh_who}问我才说，",
        "上课别看这条，",
    ),
    "en": (
        "police will not mind, ",
        "before the mods remove it: ",
        "not a scam, ",
        "trust this message, ",
        "seen in the news, ",
        "no need to report, ",
    ),
}

# Sentences from which the kind cannot be told.
VAGUE: Patterns = {
    "zh": (
        "懂的来，{zh_time}有",
        "老地方，{num}元好说",
        "有需要的速来{zh_place}",
        "先到先得，{num}份",
        "看头像，{zh_time}在线",
    ),
    "en": (
        "you know what i mean, {num} left",
        "same place {en_time}, good price",
        "ask me {en_time}, only {num}",
        "check my profile, online {en_time}",
    ),
}

# Ways to be reached that several kinds, and honest people, use.
SHARED: Patterns = {
    "zh": (
        "加微信{id}",
        "详情私信我",
        "电话{phone}",
        "扫码进群{group}",
        "点击{url}",
        "联系{zh_who}，号码{phone}",
    ),
    "en": (
        "add me on {id}",
        "dm for details",
        "call {phone}",
        "join group {group}",
        "visit {url}",
        "text {en_who} at {phone}",
    ),
}

KINDS: Mapping[str, Patterns] = {
    NORMAL: {
        "zh": (
            "{zh_place}的{zh_food}真{zh_feel}",
            "{zh_who}推荐的{zh_thing}用着{zh_feel}",
            "{zh_time}想学{zh_topic}，有人一起吗",
            "{zh_topic}讨论得太{zh_feel}了",
            "请问{zh_place}哪里能修{zh_thing}",
            "{zh_who}{zh_time}做了{zh_food}，感觉{zh_feel}",
            "这部讲{zh_topic}的片子{zh_feel}",
            "{zh_goods}到底值不值得买",
            "{zh_who}领到了{zh_prize}，好{zh_feel}",
            "转让闲置{zh_thing}，{num}元自提",
            "{zh_who}真是个小{zh_poor}，太可爱了",
            "快递放在{zh_place}了，记得取",
            "为什么{zh_topic}让人这么{zh_feel}",
            "{zh_place}的{zh_flirt}穿搭{zh_feel}",
        ),
        "en": (
            "the {en_food} in {en_place} was {en_feel}",
            "anyone up for {en_topic} {en_time}?",
            "my {en_who} fixed the {en_thing}",
            "that film about {en_topic} left me {en_feel}",
            "where can i repair a {en_thing} near the {en_place}",
            "are these {en_goods} worth it?",
            "{en_who} won a {en_prize}, so {en_feel}",
            "selling my old {en_thing} for {num}",
            "i was such a {en_poor} {en_time}, sorry",
            "package left at the {en_place}",
            "met some nice {en_flirt} at the {en_topic} club",
        ),
    },
    "spam": {
        "zh": (
            "{zh_goods}限时特价，只要{num}元",
            "全网最低价{zh_goods}，先到先得",
            "关注送{zh_prize}，{zh_goods}买一送一",
            "本店{zh_goods}清仓，{zh_place}包邮",
            "想要{zh_goods}的看这里，{zh_prize}送不停",
            "推广{zh_goods}，日引流{num}人",
        ),
        "en": (
            "best {en_goods} only {num} dollars",
            "buy {en_goods} now, limited offer",
            "free {en_prize} with all {en_goods}",
            "cheap {en_goods} shipped from {en_place}",
            "grow fast with our {en_goods}, {num} sold",
        ),
    },
    "fraud": {
        "zh": (
            "您的账户异常，请转账{num}元验证",
            "恭喜获得{zh_prize}，先交{num}元手续费",
            "我是{zh_who}，急用钱，借{num}元",
            "{zh_goods}稳赚不赔，日入{num}元",
            "客服通知：{zh_prize}待领取，提供验证码",
            "内部消息，投入{num}翻倍返还",
        ),
        "en": (
            "you won a {en_prize}, pay a {num} fee first",
            "your account is locked, send the code",
            "this is your {en_who}, wire {num} urgently",
            "guaranteed profit on {en_goods}, {num} a day",
            "claim the {en_prize}: confirm your card",
        ),
    },
    "abuse": {
        "zh": (
            "你就是个{zh_poor}",
            "{zh_who}真是{zh_poor}，滚远点",
            "没见过这么{zh_feel}的{zh_poor}",
            "谁理你啊{zh_poor}",
            "一群{zh_poor}还懂{zh_topic}",
            "{zh_place}的人都是{zh_poor}吗",
        ),
        "en": (
            "you are a {en_poor}",
            "shut up, {en_poor}",
            "only a {en_poor} likes {en_topic}",
            "get lost you {en_feel} {en_poor}",
            "what a bunch of {en_poor}s from {en_place}",
        ),
    },
    "adult": {
        "zh": (
            "同城{zh_flirt}在线陪聊",
            "{zh_flirt}深夜直播，看你想看的",
            "{zh_place}{zh_flirt}约吗，{num}一次",
            "私房照片，{zh_flirt}等你",
            "成人片{num}部打包",
        ),
        "en": (
            "hot {en_flirt} in {en_place} tonight",
            "private pics of {en_flirt}, {num} each",
            "lonely {en_flirt} want to meet",
            "adult clips, {num} files",
            "{en_flirt} live on cam {en_time}",
        ),
    },
    "contraband": {
        "zh": (
            "出售{zh_fake}，货到付款",
            "办理{zh_fake}，{num}元三天交货",
            "有{zh_fake}，{zh_place}可面交",
            "长期收{zh_fake}，价高",
            "{zh_fake}渠道稳定，只做熟客",
        ),
        "en": (
            "selling {en_fake}, no questions",
            "real looking {en_fake} for {num}",
            "{en_fake} delivered to {en_place}",
            "need {en_fake}? discreet, cash only",
            "we make {en_fake} in three days",
        ),
    },
    "private_data": {
        "zh": (
            "{zh_who}的身份证是{idcard}",
            "曝光{zh_who}，住{zh_place}{num}号，手机{phone}",
            "这是{zh_who}的银行卡{card}",
            "{zh_who}的电话{phone}，大家去打",
            "出{zh_place}业主名单{num}条",
        ),
        "en": (
            "{en_who} lives at {num} {en_place} street, phone {phone}",
            "here is the id of my {en_who}: {idcard}",
            "card number of {en_who}: {card}",
            "everyone call {en_who} at {phone}",
            "list of {num} addresses in {en_place}",
        ),
    },
}
