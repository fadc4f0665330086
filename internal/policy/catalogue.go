package policy

import (
	"time"

	"eid.example/idp/internal/account"
)

// CatalogueVersion changes whenever a row changes; consents remember it.
const CatalogueVersion = "2026-11"

const (
	hour = time.Hour
	day  = 24 * time.Hour
)

// The scopes that the code names.
const (
	OpenID        Scope = "openid"
	Profile       Scope = "profile"
	Age           Scope = "vn_age"
	PhoneNumber   Scope = "phone"
	Email         Scope = "email"
	Address       Scope = "address"
	PID           Scope = "vn_pid"
	Portrait      Scope = "vn_portrait"
	Civil         Scope = "vn_civil"
	Residence     Scope = "vn_residence"
	Household     Scope = "vn_household"
	IDCard        Scope = "vn_id_card"
	Dependants    Scope = "vn_dependants"
	Driving       Scope = "vn_driving_licence"
	Vehicle       Scope = "vn_vehicle"
	HealthCard    Scope = "vn_health_insurance"
	SocialHistory Scope = "vn_social_insurance"
	HealthRecord  Scope = "vn_health_record"
	Tax           Scope = "vn_tax"
	ForeignerID   Scope = "vn_foreigner"
	OfflineAccess Scope = "offline_access"
)

// Catalogue is the whole vocabulary: 21 scopes, in the order in which people see them.
var Catalogue = []Item{
	{Scope: OpenID, Claims: []string{"sub", "auth_time", "acr", "amr", "vn_account_level", "vn_card_status"},
		Level: 1, ACR: account.ACR1, Source: FromProvider,
		Label:   Text{"Đăng nhập", "Sign in"},
		Explain: Text{"Một mã riêng của bạn tại dịch vụ này, mức độ tài khoản và cách bạn đã đăng nhập.", "A code of yours at this service only, your account level, and how you signed in."}},
	{Scope: Profile, Claims: []string{"name", "family_name", "middle_name", "given_name", "birthdate", "gender", "updated_at", "locale"},
		Level: 1, ACR: account.ACR1, Source: FromPopulation, MaxAge: 90 * day,
		Label:   Text{"Họ tên, ngày sinh, giới tính", "Name, date of birth, gender"},
		Explain: Text{"Họ, chữ đệm và tên khai sinh, ngày sinh, giới tính.", "Your full name, date of birth and gender."}},
	{Scope: Age, Claims: []string{"vn_age_over_14", "vn_age_over_16", "vn_age_over_18"},
		Level: 1, ACR: account.ACR1, Source: FromPopulation, MaxAge: 90 * day,
		Label:   Text{"Xác nhận đủ tuổi", "Age confirmation"},
		Explain: Text{"Chỉ cho biết bạn đã đủ 14, 16, 18 tuổi hay chưa, không kèm ngày sinh.", "Only whether you are over 14, 16 and 18, not your date of birth."}},
	{Scope: PhoneNumber, Claims: []string{"phone_number", "phone_number_verified", "vn_phone_owner_match"},
		Level: 1, ACR: account.ACR1, Source: FromCarrier, MaxAge: 180 * day,
		Label:   Text{"Số điện thoại", "Phone number"},
		Explain: Text{"Số điện thoại của tài khoản và việc nhà mạng xác nhận số này là của bạn.", "The phone number of your account, and whether the carrier confirms that it is yours."}},
	{Scope: Email, Claims: []string{"email", "email_verified"},
		Level: 1, ACR: account.ACR1, Source: FromAccount, MaxAge: 365 * day,
		Label:   Text{"Thư điện tử", "E-mail"},
		Explain: Text{"Địa chỉ thư điện tử của tài khoản.", "The e-mail address of your account."}},
	{Scope: Address, Claims: []string{"address"},
		Level: 1, ACR: account.ACR1, Source: FromPopulation, MaxAge: 90 * day,
		Label:   Text{"Nơi thường trú", "Permanent address"},
		Explain: Text{"Địa chỉ thường trú, để điền vào biểu mẫu.", "Your permanent address, for filling in forms."}},
	{Scope: PID, Claims: []string{"vn_pid", "vn_old_id_numbers"},
		Level: 1, ACR: account.ACR1, Source: FromPopulation, Only: account.Citizen, MaxAge: 365 * day, Sensitivity: BasicHigh,
		Label:   Text{"Số định danh cá nhân", "Personal identification number"},
		Explain: Text{"Số định danh cá nhân và các số giấy tờ cũ.", "Your personal identification number and the numbers of older papers."}},
	{Scope: Portrait, Claims: []string{"vn_portrait_jpeg"},
		Level: 2, ACR: account.ACR1, Source: FromCitizenCard, MaxAge: day, Sensitivity: Sensitive,
		Label:   Text{"Ảnh khuôn mặt", "Face photo"},
		Explain: Text{"Ảnh chân dung trên thẻ căn cước.", "The portrait of your identity card."}},
	{Scope: Civil, Claims: []string{"nationalities", "place_of_birth", "vn_hometown", "vn_ethnicity", "vn_religion"},
		Level: 2, ACR: account.ACR1, Source: FromPopulation, MaxAge: 365 * day, Sensitivity: Sensitive,
		Label:   Text{"Quốc tịch, quê quán, dân tộc", "Nationality, home town, ethnicity"},
		Explain: Text{"Quốc tịch, nơi sinh, quê quán, dân tộc, tôn giáo.", "Nationality, place of birth, home town, ethnicity, religion."}},
	{Scope: Residence, Claims: []string{"vn_permanent_residence", "vn_temporary_residence", "vn_current_residence"},
		Level: 2, ACR: account.ACR1, Source: FromPopulation, Only: account.Citizen, MaxAge: day,
		Label:   Text{"Thông tin cư trú", "Residence information"},
		Explain: Text{"Nơi thường trú, tạm trú và nơi ở hiện tại, thay cho giấy xác nhận cư trú.", "Permanent, temporary and current residence, in place of the paper certificate."}},
	{Scope: Household, Claims: []string{"vn_household"},
		Level: 2, ACR: account.ACR1, Source: FromPopulation, Only: account.Citizen, MaxAge: day, Sensitivity: ThirdPersons,
		Label:   Text{"Thành viên hộ gia đình", "Household members"},
		Explain: Text{"Tên và quan hệ của những người cùng hộ, thay cho sổ hộ khẩu.", "Names and relations of the people of your household, in place of the household book."}},
	{Scope: IDCard, Claims: []string{"vn_id_card", "vn_id_card_history"},
		Level: 2, ACR: account.ACR1, Source: FromCitizenCard, Only: account.Citizen, MaxAge: day, Sensitivity: BasicHigh,
		Label:   Text{"Thẻ căn cước và lịch sử thẻ", "Identity card and history"},
		Explain: Text{"Số thẻ, ngày cấp, ngày hết hạn, nơi cấp của thẻ hiện tại và các thẻ trước.", "Number, dates and issuer of your present card and of earlier ones."}},
	{Scope: Dependants, Claims: []string{"vn_dependants"},
		Level: 2, ACR: account.ACR1, Source: FromPopulation, Only: account.Citizen, MaxAge: day, Sensitivity: ThirdPersons,
		Label:   Text{"Người phụ thuộc", "Dependants"},
		Explain: Text{"Con dưới 14 tuổi hoặc người được giám hộ.", "Your children under 14, or your wards."}},
	{Scope: Driving, Claims: []string{"vn_driving_licences"},
		Level: 2, ACR: account.ACR1, Source: FromLicences, MaxAge: hour, Paper: true,
		Label:   Text{"Giấy phép lái xe", "Driving licence"},
		Explain: Text{"Số, hạng, thời hạn và số điểm còn lại.", "Number, classes, validity and remaining points."}},
	{Scope: Vehicle, Claims: []string{"vn_vehicles"},
		Level: 2, ACR: account.ACR1, Source: FromLicences, MaxAge: hour, Paper: true,
		Label:   Text{"Đăng ký xe", "Vehicle registration"},
		Explain: Text{"Biển số, loại xe, nhãn hiệu, số khung, số máy.", "Plate, kind, make, chassis and engine number."}},
	{Scope: HealthCard, Claims: []string{"vn_health_insurance"},
		Level: 2, ACR: account.ACR1, Source: FromHealthInsurance, MaxAge: hour, Sensitivity: BasicHigh, Paper: true,
		Label:   Text{"Thẻ bảo hiểm y tế", "Health-insurance card"},
		Explain: Text{"Số thẻ, thời hạn, nơi đăng ký khám chữa bệnh ban đầu.", "Number, validity and first place of treatment."}},
	{Scope: SocialHistory, Claims: []string{"vn_social_insurance"},
		Level: 2, ACR: account.ACR1, Source: FromSocialInsurance, MaxAge: day, Sensitivity: Sensitive, Paper: true,
		Label:   Text{"Quá trình tham gia BHXH", "Social-insurance history"},
		Explain: Text{"Số tháng đóng và các giai đoạn làm việc.", "Months paid and periods of work."}},
	{Scope: HealthRecord, Claims: []string{"vn_health_record"},
		Level: 2, ACR: account.ACR3, Source: FromHealthRecords, MaxAge: hour, Sensitivity: Sensitive, Paper: true,
		Label:   Text{"Sổ sức khỏe điện tử", "Electronic health record"},
		Explain: Text{"Nhóm máu, dị ứng, các lần khám chữa bệnh.", "Blood group, allergies, visits."}},
	{Scope: Tax, Claims: []string{"vn_tax_code"},
		Level: 2, ACR: account.ACR1, Source: FromTax, MaxAge: 365 * day,
		Label:   Text{"Mã số thuế", "Tax code"},
		Explain: Text{"Mã số thuế cá nhân.", "Your personal tax code."}},
	{Scope: ForeignerID, Claims: []string{"vn_foreigner_id", "vn_passport", "vn_residence_card"},
		Level: 1, ACR: account.ACR1, Source: FromImmigration, Only: account.Foreigner, MaxAge: day, Sensitivity: BasicHigh,
		Label:   Text{"Hộ chiếu, thẻ cư trú", "Passport, residence card"},
		Explain: Text{"Số định danh của người nước ngoài, hộ chiếu và thẻ tạm trú hoặc thường trú.", "Number of a foreign holder, passport and residence card."}},
	{Scope: OfflineAccess,
		Level: 1, ACR: account.ACR1, Source: FromProvider,
		Label:   Text{"Truy cập khi bạn không trực tuyến", "Access while you are away"},
		Explain: Text{"Dịch vụ được đọc lại các mục trên khi bạn không có mặt, cho đến khi bạn thu hồi.", "The service may read the items above again while you are away, until you withdraw."}},
}
